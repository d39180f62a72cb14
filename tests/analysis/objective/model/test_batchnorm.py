"""The three BatchNorm modes against loops by hand, torch's own SWA utility, and the model in training mode."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.model.batchnorm import batch_norms, blended_buffers
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import line_between
from landscape.errors import LandscapeError
from landscape.seeding import random_indices

N = 20
IMAGES = torch.randn(N, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))


class Network(nn.Module):
    """Two BatchNorms, one on images and one on features, and a buffer of another kind."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.bn1 = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
            self.linear, self.bn2 = nn.Linear(12, 4), nn.BatchNorm1d(4, momentum=0.3)
            self.head = nn.Linear(4, 3)
            self.register_buffer("temperature", torch.ones(()) + torch.rand(()))
            for bn in (self.bn1, self.bn2):
                bn.running_mean.normal_()
                bn.running_var.uniform_(0.2, 3.0)
                bn.weight.data.uniform_(0.5, 1.5)
                bn.num_batches_tracked.fill_(7)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv(x))).flatten(1)
        return self.head(torch.relu(self.bn2(self.linear(x)))) / self.temperature


def objective(model: nn.Module, mode: Any, data: Any = None, **options: Any) -> Objective:
    options = {"precision": "float64", "batch_size": 5, **options}
    if mode == "recalibrated" and not {"calibration", "calibration_examples"} & options.keys():
        options["calibration"] = IMAGES  # in this order
    return Objective(
        model, "cross_entropy", data or {"train": (IMAGES, LABELS)}, device="cpu", batchnorm=mode, **options
    )


def loss_of(model: nn.Module) -> float:
    return F.cross_entropy(model.eval()(IMAGES), LABELS).item()


def averaged_by_hand(model: Network, batches: list[Tensor]) -> Network:
    """Return a copy whose running statistics are plain means of its batch statistics, written out."""
    model = copy.deepcopy(model)
    first = [model.conv(x).detach() for x in batches]
    stats1 = [(y.mean((0, 2, 3)), y.var((0, 2, 3), correction=1), y.var((0, 2, 3), correction=0)) for y in first]
    second = []
    for y, (mean, _, biased) in zip(first, stats1, strict=True):  # in training mode each batch is seen by its own
        z = (y - mean[:, None, None]) / torch.sqrt(biased[:, None, None] + model.bn1.eps)
        z = z * model.bn1.weight[:, None, None] + model.bn1.bias[:, None, None]
        second.append(model.linear(torch.relu(z).flatten(1)).detach())
    stats2 = [(y.mean(0), y.var(0, correction=1)) for y in second]
    model.bn1.running_mean.copy_(torch.stack([s[0] for s in stats1]).mean(0))
    model.bn1.running_var.copy_(torch.stack([s[1] for s in stats1]).mean(0))
    model.bn2.running_mean.copy_(torch.stack([s[0] for s in stats2]).mean(0))
    model.bn2.running_var.copy_(torch.stack([s[1] for s in stats2]).mean(0))
    return model


@pytest.mark.parametrize("fold", [True, False])
def test_recalibrated_is_the_mean_of_the_batch_statistics(fold: bool) -> None:
    model, batches = Network(), list(IMAGES.split(5))
    found = objective(model, "recalibrated", fold=fold)
    by_hand = averaged_by_hand(model, batches)
    by_torch = copy.deepcopy(model)
    torch.optim.swa_utils.update_bn(batches, by_torch)
    statistics = found.network.recalibrated(None)
    for expected in (by_hand, by_torch):
        for name, buffer in expected.named_buffers():
            if "running" in name:
                torch.testing.assert_close(statistics[name], buffer, rtol=1e-10, atol=1e-12)
        assert found.loss() == pytest.approx(loss_of(expected), rel=1e-10)
    assert found.loss() != pytest.approx(loss_of(model), rel=1e-2)


def test_recalibrated_at_other_weights_is_recalibrated_there() -> None:
    model = Network()
    found = objective(model, "recalibrated")
    moved = copy.deepcopy(model)
    for parameter in moved.parameters():
        parameter.data += 0.2
    torch.optim.swa_utils.update_bn(IMAGES.split(5), moved)
    weights = {name: w + 0.2 for name, w in found.origin.items()}
    assert found.loss(weights) == pytest.approx(loss_of(moved), rel=1e-10)
    assert found.evaluate(weights)["train"]["loss"] == found.evaluate(weights)["train"]["loss"]  # leaves no trace


class Seen(nn.Module):
    """The running mean of one-hot inputs counts which examples were seen."""

    def __init__(self, examples: int) -> None:
        super().__init__()
        self.bn, self.head = nn.BatchNorm1d(examples).double(), nn.Linear(examples, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(x))


@pytest.mark.parametrize("count", [12, 60, 1000])
def test_calibration_is_a_fixed_random_sample_of_the_training_examples(count: int) -> None:
    """Data often lie in the order of their classes: the first ones would be of one class."""
    n = 60
    data = {"test": (torch.zeros(4, n).double(), LABELS[:4]), "train": (torch.eye(n).double(), LABELS[:1].repeat(n))}
    found = objective(Seen(n), "recalibrated", data, calibration_examples=count, batch_size=6)
    seen = found.network.recalibrated(None)["bn.running_mean"] * min(count, n)
    assert sorted(seen.round(decimals=9).tolist()) == [0.0] * max(n - count, 0) + [1.0] * min(count, n)
    assert torch.equal(seen, found.network.recalibrated(None)["bn.running_mean"] * min(count, n))
    if count == 12:
        places = seen.nonzero().flatten()
        assert places.min() < 20  # spread over the whole
        assert places.max() >= 40


def sorted_by_class(examples: int) -> tuple[Tensor, Tensor]:
    """Return two classes at −1 and +1, one after the other, as a loader over folders of classes gives them."""
    noise = torch.randn(2 * examples, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    labels = torch.arange(2).repeat_interleave(examples)
    return 0.2 * noise + (2.0 * labels - 1)[:, None], labels


def trained_on(inputs: Tensor) -> nn.Module:
    """Return a classifier of two blobs whose BatchNorm has the statistics of all the inputs."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)).double()
    model[1].weight.data = torch.tensor([[-3.0, -3.0], [3.0, 3.0]], dtype=torch.float64)
    model[1].bias.data.zero_()
    torch.optim.swa_utils.update_bn([inputs], model)
    return model.eval()


def test_a_loader_sorted_by_class_is_sampled_over_its_whole_length() -> None:
    inputs, labels = sorted_by_class(1500)
    model = trained_on(inputs)
    expected = F.cross_entropy(model(inputs), labels).item()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=100)
    found = Objective(model, "cross_entropy", loader, device="cpu", precision="float64", batchnorm="recalibrated")
    estimates = found.evaluate()["train"]
    assert estimates["loss"].value == pytest.approx(expected, rel=0.05)
    assert estimates["accuracy"].value == 1.0
    assert found.loss() == found.loss()
    assert found.calibration_source == "1000 of 3000 examples drawn at random (seed 0)"


def test_ready_batches_are_sampled_as_tensors_are() -> None:
    model, options = Network(), {"calibration_examples": 10}
    ready = [(IMAGES[:8], LABELS[:8]), (IMAGES[8:14], LABELS[8:14]), (IMAGES[14:], LABELS[14:])]
    found = objective(model, "recalibrated", {"train": ready}, **options)
    assert found.loss() == pytest.approx(objective(model, "recalibrated", **options).loss(), rel=1e-10)


def test_batches_weigh_by_their_numbers_of_examples() -> None:
    inputs = torch.randn(260, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3)).double()
    targets = torch.zeros(260, dtype=torch.int64)
    found = Objective(
        model,
        "cross_entropy",
        inputs,
        targets,
        device="cpu",
        precision="float64",
        batchnorm="recalibrated",
        calibration=inputs,
        batch_size=258,
    )
    buffers = found.network.recalibrated(None)
    torch.testing.assert_close(buffers["0.running_mean"], inputs.mean(0), rtol=1e-10, atol=1e-12)
    variances = (258 * inputs[:258].var(0) + 2 * inputs[258:].var(0)) / 260
    torch.testing.assert_close(buffers["0.running_var"], variances, rtol=1e-10, atol=1e-12)


class Ragged(nn.Module):
    """Sequences of any length, normalized over all their places."""

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.head = nn.BatchNorm1d(2).double(), nn.Linear(2, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(x.transpose(1, 2)).mean(2))


def test_batches_that_cannot_be_cut_are_drawn_whole_and_weighed() -> None:
    generator = torch.Generator().manual_seed(5)
    lengths = [3, 4, 5, 6, 7, 8]
    ready = [(torch.randn(2 + n, n, 2, generator=generator, dtype=torch.float64), LABELS[: 2 + n]) for n in lengths]
    found = objective(Ragged(), "recalibrated", {"train": ready}, calibration_examples=15)
    order = random_indices(len(ready)).tolist()
    sizes, chosen = [len(ready[number][1]) for number in order], []
    while sum(sizes[: len(chosen)]) < 15:
        chosen.append(order[len(chosen)])
    assert 1 < len(chosen) < len(ready)
    total = sum(len(ready[number][1]) for number in chosen)
    mean = sum(ready[number][0].mean((0, 1)) * len(ready[number][1]) for number in chosen) / total
    torch.testing.assert_close(found.network.recalibrated(None)["bn.running_mean"], mean, rtol=1e-10, atol=1e-12)
    assert found.calibration_source == f"{total} of 45 examples, whole batches drawn at random (seed 0)"


def test_a_layer_called_twice_in_a_pass_averages_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.head = nn.BatchNorm1d(2).double(), nn.Linear(2, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.bn(self.bn(x) + 3))

    inputs = torch.randn(10, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    data = {"train": (inputs, LABELS[:10])}
    found = objective(Twice(), "recalibrated", data, calibration=inputs, batch_size=5)
    expected = Twice()
    torch.optim.swa_utils.update_bn(inputs.split(5), expected)
    torch.testing.assert_close(found.network.recalibrated(None)["bn.running_mean"], expected.bn.running_mean)


def test_blended_buffers_of_three_by_their_shares() -> None:
    models = [dict(Network(seed).named_buffers()) for seed in (0, 1, 2)]
    shares = (0.5, 0.8, -0.3)
    found = blended_buffers(models, shares)
    mean = sum(share * model["bn1.running_mean"] for share, model in zip(shares, models, strict=True))
    torch.testing.assert_close(found["bn1.running_mean"], mean)
    variance = torch.stack([m["bn2.running_var"] ** share for share, m in zip(shares, models, strict=True)]).prod(0)
    torch.testing.assert_close(found["bn2.running_var"], variance)
    alone = blended_buffers(models, (0, 1, 0))
    assert all(torch.equal(alone[name], buffer) for name, buffer in models[1].items())


def test_calibration_is_of_the_training_examples_also_for_the_test_split() -> None:
    model = Network()
    data = {"test": (IMAGES + 1, LABELS), "train": (IMAGES, LABELS)}
    chosen = random_indices(N, 10)
    found = objective(model, "recalibrated", data, calibration_examples=10)
    expected = copy.deepcopy(model)
    torch.optim.swa_utils.update_bn(IMAGES[chosen].split(5), expected)
    assert found.loss(split="train") == pytest.approx(loss_of(expected), rel=1e-10)
    assert found.loss(split="test") == pytest.approx(F.cross_entropy(expected(IMAGES + 1), LABELS).item(), rel=1e-10)


def test_derivatives_hold_the_recalibrated_statistics() -> None:
    model = Network()
    expected = copy.deepcopy(model)
    torch.optim.swa_utils.update_bn(IMAGES.split(5), expected)
    F.cross_entropy(expected.eval()(IMAGES), LABELS).backward()
    value, gradient = objective(model, "recalibrated").gradient()
    assert value == pytest.approx(loss_of(expected), rel=1e-10)
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(gradient[name], parameter.grad, rtol=1e-9, atol=1e-12)


def test_batch_mode_is_training_mode_on_the_same_batches() -> None:
    model = Network()
    found = objective(model, "batch", batch_size=6)
    assert not found.is_folded
    training = copy.deepcopy(model).train()
    batches = zip(IMAGES.split(6), LABELS.split(6), strict=True)
    losses = [F.cross_entropy(training(x), y, reduction="none") for x, y in batches]
    assert found.loss() == pytest.approx(torch.cat(losses).mean().item(), rel=1e-12)
    assert found.loss() == found.loss()


def test_batch_mode_leaves_dropout_off() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 3)).double()
    inputs = torch.randn(N, 3, dtype=torch.float64)
    found = Objective(model, "cross_entropy", inputs, LABELS, device="cpu", precision="float64", batchnorm="batch")
    training = copy.deepcopy(model).train()
    training[2].eval()
    assert found.loss() == pytest.approx(F.cross_entropy(training(inputs), LABELS).item(), rel=1e-12)


def test_fixed_is_evaluation_mode_and_the_only_mode_without_batchnorm() -> None:
    assert objective(Network().train(), "fixed").loss() == pytest.approx(loss_of(Network()), rel=1e-12)
    plain = Objective(nn.Linear(2, 3), "cross_entropy", torch.randn(4, 2), LABELS[:4], device="cpu", batchnorm="batch")
    assert plain.batchnorm == "fixed"


def test_layers_go_back_to_evaluation_mode_also_after_an_error() -> None:
    model = Network().eval()
    norms = batch_norms(model)
    with norms.training():
        assert model.bn1.training
        assert model.bn2.momentum is None
        assert not model.training
    with pytest.raises(ZeroDivisionError), norms.training():
        raise ZeroDivisionError
    assert not model.bn1.training
    assert (model.bn1.momentum, model.bn2.momentum) == (0.1, 0.3)


@pytest.mark.parametrize("t", [-0.5, 0.0, 0.25, 1.0, 1.5])
def test_blended_buffers_means_linear_and_variances_geometric(t: float) -> None:
    a, b = Network(0), Network(1)
    found = blended_buffers([dict(a.named_buffers()), dict(b.named_buffers())], [1 - t, t])
    for bn in ("bn1", "bn2"):
        x, y = a.get_submodule(bn), b.get_submodule(bn)
        mean = [(1 - t) * p + t * q for p, q in zip(x.running_mean.tolist(), y.running_mean.tolist(), strict=True)]
        variance = [p ** (1 - t) * q**t for p, q in zip(x.running_var.tolist(), y.running_var.tolist(), strict=True)]
        assert found[f"{bn}.running_mean"].tolist() == pytest.approx(mean, rel=1e-12)
        assert found[f"{bn}.running_var"].tolist() == pytest.approx(variance, rel=1e-12)
        assert found[f"{bn}.num_batches_tracked"] == 7
    assert found["temperature"].item() == pytest.approx((1 - t) * a.temperature.item() + t * b.temperature.item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_are_the_models_themselves_to_the_bit(dtype: torch.dtype) -> None:
    a, b = (dict(Network(seed).to(dtype).named_buffers()) for seed in (0, 1))
    a["bn1.running_var"][0], b["bn1.running_var"][0] = 0.0, 0.0  # a dead channel
    for t, end in ((0.0, a), (1.0, b)):
        found = blended_buffers([a, b], [1 - t, t])
        assert all(torch.equal(found[name], end[name]) for name in end)
    for t in (0.5, -0.5, 1.5):
        assert blended_buffers([a, b], [1 - t, t])["bn1.running_var"][0] == 0
        assert all(buffer.isfinite().all() for buffer in blended_buffers([a, b], [1 - t, t]).values())


def test_recalibration_between_two_models_keeps_the_interpolation_of_other_buffers() -> None:
    a, b = Network(0), Network(1)
    found = objective(a, "recalibrated")
    plane = line_between(found, b.state_dict())
    torch.optim.swa_utils.update_bn(IMAGES.split(5), b)
    estimate = found.evaluate(plane.at(1.0), buffers=plane.buffers_at(1.0))["train"]["loss"]
    assert a.temperature.item() != b.temperature.item()
    assert estimate.value == pytest.approx(loss_of(b), rel=1e-10)


def test_one_example_left_over_has_no_statistics() -> None:
    """torch refuses to normalize one value per channel: a mode that must, says so; calibration goes without it."""
    with pytest.raises(LandscapeError, match="batch of 1"):
        objective(Network(), "batch", batch_size=N - 1).loss()
    expected = Network()
    torch.optim.swa_utils.update_bn([IMAGES[:-1]], expected)
    found = objective(Network(), "recalibrated", batch_size=N - 1)
    assert found.loss() == pytest.approx(loss_of(expected), rel=1e-10)


def test_statistics_that_are_zero_are_a_value() -> None:
    model = Network()
    model.bn2.running_var.zero_()
    assert math.isfinite(objective(model, "fixed").loss())
