"""Values of the objective against per-example NumPy, and what it promises about the caller's model."""

import copy
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.sharpness import sharpness, usual_measures
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError

N = 23  # no multiple of any batch size used here
IMAGES = torch.randn(N, 2, 6, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))


def network(*, dropout: float = 0.0) -> nn.Sequential:
    """A small network whose BatchNorm has statistics of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(2, 4, 3),
                bn=nn.BatchNorm2d(4),
                relu=nn.ReLU(),
                drop=nn.Dropout(dropout),
                flat=nn.Flatten(),
                head=nn.Linear(64, 3),
            )
        )
        model.bn.running_mean.normal_(0, 0.3)
        model.bn.running_var.uniform_(0.5, 2.0)
        model.bn.weight.data.uniform_(0.5, 1.5)
        model.bn.bias.data.normal_(0, 0.3)
    return model


def objective(model: nn.Module | None = None, *data: Any, loss: Any = "cross_entropy", **options: Any) -> Objective:
    chosen = data or (IMAGES, LABELS)
    return Objective(model or network(), loss, *chosen, device="cpu", **{"precision": "float64", **options})


def by_hand(model: nn.Module, images: Tensor = IMAGES, labels: Tensor = LABELS) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return −log softmax and correctness of each example from the logits of one float64 pass, in NumPy."""
    logits = copy.deepcopy(model).double().eval()(images.double()).detach().numpy()
    shifted = logits - logits.max(1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels.numpy()]
    return losses, (logits.argmax(1) == labels.numpy()).astype(float)


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 500])
def test_means_and_standard_errors_are_over_examples_whatever_the_batches(batch_size: int) -> None:
    losses, correct = by_hand(network())
    found = objective(batch_size=batch_size).evaluate()["train"]
    for metric, values in (("loss", losses), ("accuracy", correct)):
        assert found[metric].value == pytest.approx(values.mean(), rel=1e-12)
        assert found[metric].stderr == pytest.approx(values.std(ddof=1) / math.sqrt(N), rel=1e-9)
        assert found[metric].n == N


def test_the_order_of_examples_does_not_matter() -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    shuffled = objective(None, IMAGES[order], LABELS[order], batch_size=5)
    assert shuffled.loss() == pytest.approx(objective(batch_size=7).loss(), rel=1e-12)


def test_per_example_values_are_in_the_data_s_order() -> None:
    losses, correct = by_hand(network())
    found = objective(batch_size=5)
    np.testing.assert_allclose(found.per_example(), losses, rtol=1e-12)
    np.testing.assert_array_equal(found.per_example(metric="accuracy"), correct)


def test_one_example_has_no_standard_error() -> None:
    found = objective(None, IMAGES[:1], LABELS[:1]).evaluate()["train"]["loss"]
    assert found.value == pytest.approx(by_hand(network())[0][0], rel=1e-12)
    assert math.isnan(found.stderr)


def test_float32_is_within_its_rounding_of_float64() -> None:
    assert objective(precision="float32").loss() == pytest.approx(objective().loss(), rel=1e-6)


def test_a_forward_pass_in_float64_is_not_rounded_to_a_float32_objective() -> None:
    low = objective(precision="float32")
    exact = low.evaluate(precision="float64")["train"]["loss"].value
    assert exact == pytest.approx(objective().loss(), rel=1e-12)  # float32 weights are exact in float64


def test_ready_batches_a_loader_and_tensors_agree() -> None:
    whole = objective().evaluate()["train"]
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=6)
    listed = [(IMAGES[i : i + 9], LABELS[i : i + 9]) for i in range(0, N, 9)]
    for batches in (loader, listed):
        found = objective(None, batches).evaluate()["train"]
        assert found["loss"].value == pytest.approx(whole["loss"].value, rel=1e-12)
        assert found["loss"].stderr == pytest.approx(whole["loss"].stderr, rel=1e-9)
        assert found["accuracy"] == whole["accuracy"]


class Two(nn.Module):
    """Takes two named inputs, as tokenizers give them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.head((self.table(ids) * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))


def test_dictionaries_and_tuples_of_inputs_reach_the_model_by_name_and_by_position() -> None:
    torch.manual_seed(0)
    model, ids, mask = Two(), torch.randint(0, 10, (N, 5)), torch.rand(N, 5) + 0.1
    expected = F.cross_entropy(model.double()(ids, mask.double()), LABELS).item()
    named = objective(model, {"mask": mask, "ids": ids}, LABELS, batch_size=4)
    placed = objective(model, (ids, mask), LABELS, batch_size=4)
    in_batches = objective(model, [({"ids": ids, "mask": mask}, LABELS)])
    for found in (named, placed, in_batches):
        assert found.loss() == pytest.approx(expected, rel=1e-6)  # the mask was made in float32
        assert found.metrics == ("loss", "accuracy")


def test_a_scalar_loss_counts_as_its_batch_s_mean_and_has_no_spread() -> None:
    scalar = objective(loss=lambda outputs, targets: F.cross_entropy(outputs, targets), batch_size=5)
    found = scalar.evaluate()["train"]["loss"]
    assert found.value == pytest.approx(objective().loss(), rel=1e-12)
    assert math.isnan(found.stderr)
    assert not scalar.has_per_example_loss
    for name, gradient in scalar.gradient()[1].items():
        torch.testing.assert_close(gradient, objective().gradient()[1][name])


def test_mse_of_a_regression_has_no_accuracy() -> None:
    targets = torch.randn(N, 3, generator=torch.Generator().manual_seed(5))
    outputs = network().double().eval()(IMAGES.double()).detach().numpy()
    squares = ((outputs - targets.double().numpy()) ** 2).mean(1)
    found = objective(None, IMAGES, targets, loss="mse", batch_size=5).evaluate()["train"]
    assert list(found) == ["loss"]
    assert found["loss"].value == pytest.approx(squares.mean(), rel=1e-12)
    assert found["loss"].stderr == pytest.approx(squares.std(ddof=1) / math.sqrt(N), rel=1e-9)


@pytest.mark.parametrize("targets", [torch.zeros(N), torch.zeros(N, 1), LABELS])
def test_mse_does_not_broadcast(targets: Tensor) -> None:
    with pytest.raises(LandscapeError, match="expected the same shape"):
        objective(None, IMAGES, targets, loss="mse")


def test_accuracy_is_for_classification_only() -> None:
    class Scores(nn.Module):  # a language model's (B, T, V), V last: no class dimension to take the argmax of
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x[:, :, None])

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1)

    tokens = torch.randint(0, 7, (N, 4))
    assert objective(Scores(), torch.randn(N, 4), tokens, loss=loss).metrics == ("loss",)
    assert objective(loss=nn.CrossEntropyLoss(reduction="none")).metrics == ("loss", "accuracy")
    soft = torch.softmax(torch.randn(N, 3), 1)
    assert objective(None, IMAGES, soft).metrics == ("loss",)


def test_dense_prediction_averages_over_the_pixels_of_an_example() -> None:
    torch.manual_seed(0)
    model, labels = nn.Conv2d(2, 3, 3, padding=1), torch.randint(0, 3, (N, 6, 6))
    logits = model.double()(IMAGES.double())
    found = objective(model, IMAGES, labels, batch_size=4).evaluate()["train"]
    assert found["loss"].value == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-12)
    assert found["accuracy"].value == pytest.approx((logits.argmax(1) == labels).double().mean().item(), rel=1e-7)


def test_a_user_s_metric_is_averaged_over_examples() -> None:
    def margin(outputs: Tensor, targets: Tensor) -> Tensor:
        top = outputs.topk(2, dim=1).values
        return top[:, 0] - top[:, 1]

    found = objective(metrics={"margin": margin}, batch_size=5)
    logits = np.sort(network().double().eval()(IMAGES.double()).detach().numpy(), axis=1)
    assert found.metrics == ("loss", "accuracy", "margin")
    assert found.evaluate()["train"]["margin"].value == pytest.approx((logits[:, 2] - logits[:, 1]).mean(), rel=1e-12)


def test_every_split_is_measured_and_the_first_is_the_default() -> None:
    found = objective(None, {"train": (IMAGES[:15], LABELS[:15]), "test": [(IMAGES[15:], LABELS[15:])]})
    losses, _ = by_hand(network())
    assert found.splits == ("train", "test")
    assert found.loss() == pytest.approx(losses[:15].mean(), rel=1e-12)
    assert found.loss(split="test") == pytest.approx(losses[15:].mean(), rel=1e-12)
    assert found.evaluate()["test"]["loss"].n == N - 15
    assert found.gradient(split="test")[0] == pytest.approx(losses[15:].mean(), rel=1e-12)


def test_preprocessing_is_applied_to_inputs_only() -> None:
    whole = (20 * IMAGES).round()
    found = objective(None, whole.to(torch.int8), LABELS, preprocess=lambda x: x.float() / 20)
    losses, _ = by_hand(network(), whole / 20)
    assert found.loss() == pytest.approx(losses.mean(), rel=1e-6)


def test_params_and_requires_grad_choose_what_moves() -> None:
    model = network()
    model.conv.weight.requires_grad_(False)
    assert list(objective(model).origin) == ["conv.bias", "bn.weight", "bn.bias", "head.weight", "head.bias"]
    chosen = objective(model, params="conv.*, head.bias")
    assert list(chosen.origin) == ["conv.bias", "head.bias"]
    assert chosen.size == 4 + 3
    assert list(chosen.gradient()[1]) == ["conv.bias", "head.bias"]
    assert chosen.loss() == pytest.approx(objective(model).loss(), rel=1e-12)
    with pytest.raises(LandscapeError, match=r"no trainable parameter matches 'nothing'; .*conv.bias, bn.weight"):
        objective(model, params="nothing")


def test_tied_weights_are_one_parameter_and_move_together() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    inputs, labels = torch.randn(N, 3), LABELS
    tied = objective(model, inputs, labels)
    assert list(tied.origin) == ["0.weight"]
    step = torch.randn(3, 3, dtype=torch.float64)
    moved = copy.deepcopy(model).double()
    moved[0].weight.data += step
    expected = F.cross_entropy(moved(inputs.double()), labels)
    assert tied.loss({"0.weight": tied.origin["0.weight"] + step}) == pytest.approx(expected.item(), rel=1e-12)
    expected.backward()
    torch.testing.assert_close(
        tied.gradient({"0.weight": tied.origin["0.weight"] + step})[1]["0.weight"], moved[0].weight.grad
    )


def test_gradient_equals_autograd_s() -> None:
    model = network().double().eval()
    loss = F.cross_entropy(model(IMAGES.double()), LABELS)
    loss.backward()
    for fold in (True, False):
        value, gradient = objective(batch_size=5, fold=fold).gradient()
        assert value == pytest.approx(loss.item(), rel=1e-12)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradient[name], parameter.grad)


def test_weights_given_stand_for_the_origin_and_leave_it() -> None:
    found = objective()
    before = {name: w.clone() for name, w in found.origin.items()}
    elsewhere = {"head.weight": found.origin["head.weight"] + 0.1}
    model = network()
    model.head.weight.data += 0.1
    assert found.loss(elsewhere) == pytest.approx(by_hand(model)[0].mean(), rel=1e-6)
    assert all(torch.equal(before[name], w) for name, w in found.origin.items())


def snapshot(model: nn.Module) -> list[Any]:
    tensors = itertools.chain(model.named_parameters(remove_duplicate=False), model.named_buffers())
    values = [(name, id(t), t._version, t.detach().clone(), t.requires_grad) for name, t in tensors]
    return [*values, [(name, m.training) for name, m in model.named_modules()], torch.get_rng_state()]


@pytest.mark.parametrize("mode", ["fixed", "recalibrated", "batch"])
def test_the_caller_s_model_and_random_state_are_untouched(mode: Any) -> None:
    model = network(dropout=0.5).train()
    model.conv.eval()  # a mixed mode must survive too
    model.head.bias.requires_grad_(False)
    before = snapshot(model)
    data = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=9, shuffle=True)
    found = objective(model, data, batchnorm=mode, precision="float32")
    surface(found, points=3)
    if mode != "batch":  # which has no derivatives
        hessian(found, top=1, max_products=3)
        hessian(found, top=1, operator="ggn", max_products=3)
        sharpness(found, usual_measures(pairs=1, epsilons=(1e-3,), tolerance=0.5))
    for old, new in zip(before, snapshot(model), strict=True):
        if isinstance(old, tuple):
            assert old[:3] == new[:3]
            assert torch.equal(old[3], new[3])
            assert old[4] == new[4]
        elif isinstance(old, Tensor):
            assert torch.equal(old, new)
        else:
            assert old == new
    assert all(p.grad is None for p in model.parameters())


def test_dropout_is_off_though_the_caller_is_training() -> None:
    assert objective(network(dropout=0.5).train()).loss() == pytest.approx(by_hand(network())[0].mean(), rel=1e-12)


@pytest.mark.parametrize("shape", [(N, 3), (N, 1, 4, 4)])
def test_a_forward_pass_that_writes_into_its_inputs_leaves_the_data_alone(shape: tuple[int, ...]) -> None:
    class Normalizing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(math.prod(shape[1:]), 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.sub_(0.5).mul_(2.0).flatten(1))

    torch.manual_seed(0)
    model, inputs = Normalizing().double(), torch.rand(shape, dtype=torch.float64)
    kept = inputs.clone()
    expected = F.cross_entropy(model(inputs.clone()), LABELS).item()
    found = objective(model, inputs, LABELS, batch_size=7)
    assert [found.loss() for _ in range(3)] == pytest.approx([expected] * 3, rel=1e-12)
    assert found.gradient()[0] == pytest.approx(expected, rel=1e-12)
    assert found.loss() == pytest.approx(expected, rel=1e-12)
    assert torch.equal(inputs, kept)


def test_divergence_is_a_value() -> None:
    found = objective()
    for bad in (math.inf, math.nan):
        weights = {"head.weight": torch.full_like(found.origin["head.weight"], bad)}
        estimate = found.evaluate(weights)["train"]["loss"]
        assert math.isnan(estimate.value)
        assert math.isnan(estimate.stderr)
    huge = objective(None, IMAGES, torch.full((N, 3), 1e200, dtype=torch.float64), loss="mse").evaluate()["train"][
        "loss"
    ]
    assert huge.value == math.inf
    assert math.isnan(huge.stderr)


def raising(*_: Any) -> Tensor:
    raise AssertionError("three channels, please\nand more lines")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objective(None, IMAGES, LABELS + 1), "labels run from 1 to 3, but the model has 3 outputs"),
        (lambda: objective(None, [(IMAGES, LABELS - 1)]), "labels run from -1 to 1, but the model has 3 outputs"),
        (lambda: objective(None, IMAGES[:, :1], LABELS), r"inputs of shape \(8, 1, 6, 6\)"),
        (lambda: objective(None, IMAGES[:, :, :5, :5], LABELS), "does not take a batch of inputs"),
        (lambda: objective(None, {"y": IMAGES}, LABELS), "does not take a batch of inputs"),
        (lambda: objective(type("Fussy", (nn.Linear,), {"forward": raising})(2, 2)), "three channels, please$"),
        (lambda: objective(None, IMAGES, torch.rand(N, 5)), r"cross_entropy does not take outputs of shape \(8, 3\)"),
        (lambda: objective(loss="hinge"), "unknown loss 'hinge'; expected one of cross_entropy, mse, or a function"),
        (
            lambda: objective(loss=lambda a, b: a),
            r"returned shape \(8, 3\) for 8 examples; expected \(8,\) or",
        ),
        (lambda: objective(loss=raising), "three channels, please$"),
        (lambda: objective(None, ((x, y) for x, y in [(IMAGES, LABELS)])), "a generator can be read only once"),
        (lambda: objective(None, {}), "no splits"),
        (lambda: objective(batch_size=0), "batch size of 0"),
        (lambda: objective(batch_size=-1), "batch size of -1"),
        (lambda: objective(precision="bfloat16"), "expected float64 or float32"),
        (
            lambda: objective(batchnorm="frozen"),
            "unknown batchnorm 'frozen'; expected one of fixed, recalibrated",
        ),
        (lambda: objective().loss(split="validation"), "no split 'validation' in the data; it has train"),
        (lambda: objective().gradient(split="validation"), "no split 'validation'"),
        (lambda: CurvatureOperator(objective(), "newton"), "unknown operator 'newton'; expected one of hessian, ggn"),
        (lambda: objective(batchnorm="batch").gradient(), "evaluation mode"),
        (lambda: objective(nn.ReLU(), IMAGES[:, 0, 0, :3], LABELS), "no trainable parameter"),
    ],
)
def test_what_does_not_fit_gets_one_clear_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(LandscapeError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_label_outside_the_outputs_in_a_later_batch_is_found() -> None:
    labels = LABELS.clone()
    labels[-1] = 3
    with pytest.raises(LandscapeError, match="labels run from 0 to 3"):
        objective(None, DataLoader(TensorDataset(IMAGES, labels), batch_size=10))


def test_any_re_iterable_will_do() -> None:
    class Lazy:  # re-iterable without a length
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            yield IMAGES[:10], LABELS[:10]
            yield IMAGES[10:], LABELS[10:]

    assert objective(None, Lazy()).loss() == pytest.approx(objective().loss(), rel=1e-12)
