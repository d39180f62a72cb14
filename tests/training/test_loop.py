"""Training: runs that learn, repeat bit for bit, pair, and refuse what cannot be; parts against slow references."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape import models
from landscape.data import Dataset, Split, load_dataset, stratified_subset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import build_model
from landscape.training import EpochReport, TrainConfig, evaluate, pair_members, resolve, settings, train, train_pair
from landscape.training.config.schedule import learning_rate
from landscape.training.optimizers import make_optimizer
from landscape.training.pipeline.augment import Augmentation
from landscape.training.pipeline.device_dataset import DeviceDataset
from landscape.training.pipeline.shuffling import batch_slices, epoch_order
from landscape.training.sam import SAM
from landscape.training.settings import initial_model
from landscape.training.step import Step

CPU = torch.device("cpu")
QUICK = TrainConfig(epochs=2, batch_size=50, precision="float32", device="cpu")


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def few(digits):
    splits = {name: Split(split.inputs[:101], split.labels[:101]) for name, split in digits.splits.items()}
    return Dataset("digits", splits, digits.classes, digits.mean, digits.std)


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([(1, 2), (1, 20)], "float32"),  # emulated: one look after the warm-up is enough
        ([(1, 2), *5 * [(3, 2)]], "bfloat16"),  # the first look warms up
        (6 * [(3, 2.9)], "float32"),  # not worth it
    ],
)
def test_precision_is_the_faster_by_the_clock(few, monkeypatch, rounds, expected):
    spent = [seconds for each in rounds for seconds in each]
    ticks = iter(np.cumsum([0, *(step for seconds in spent for step in (seconds, 0))]).tolist())
    monkeypatch.setattr(settings.time, "perf_counter", lambda: next(ticks))
    assert settings.faster_precision(resolve(QUICK, few), few) == expected
    assert len(list(ticks)) == 1  # all looks were taken


def test_adam_learns_digits_and_records_its_settings(digits):
    reports, steps = [], []
    config = dataclasses.replace(QUICK, epochs=6, batch_size=64)
    checkpoint = train(config, digits, on_epoch=reports.append, on_step=lambda done, total: steps.append((done, total)))
    assert checkpoint.final["test_accuracy"] > 0.9
    assert checkpoint.final["train_loss"] < 0.3
    assert steps == [(i + 1, 6 * 23) for i in range(6 * 23)]
    assert all(isinstance(report, EpochReport) and report.images_per_second > 0 for report in reports)
    for column, values in checkpoint.history.items():
        assert values == [report.row[column] for report in reports]
    assert checkpoint.history["epoch"] == [1, 2, 3, 4, 5, 6]
    assert checkpoint.history["gradient_evaluations"] == [1437 * e for e in range(1, 7)]
    assert np.all(np.diff(checkpoint.history["seconds"]) > 0)
    assert {
        name: values[-1] for name, values in checkpoint.history.items() if name in checkpoint.final
    } == checkpoint.final
    assert checkpoint.training["recipe"] == "adam"
    assert checkpoint.training["lr"] == 1e-3
    assert checkpoint.data["augmented"]
    assert type(checkpoint.provenance["torch"]) is str


def test_recorded_losses_are_those_of_the_recorded_weights(few):
    checkpoint = train(QUICK, few)
    model = build_model(checkpoint).double().eval()
    for split, data in few.splits.items():
        logits = model(few.preprocess(data.inputs).double())
        loss = F.cross_entropy(logits, data.labels).item()
        assert checkpoint.final[f"{split}_loss"] == pytest.approx(loss, rel=1e-5)
        accuracy = (logits.argmax(1) == data.labels).double().mean().item()
        assert checkpoint.final[f"{split}_accuracy"] == pytest.approx(accuracy)
    assert checkpoint.reference["loss"] == pytest.approx(checkpoint.final["train_loss"], rel=1e-6)  # all 101 of 2000
    assert checkpoint.reference["subset"] == 2000


@pytest.mark.parametrize("recipe", ["adam", "sam", "sgd", "sam-sgd"])
def test_repeats_bit_for_bit_and_leaves_the_callers_generators(few, recipe):
    config = dataclasses.replace(QUICK, recipe=recipe)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = train(config, few)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    torch.rand(1)
    second = train(config, few)
    torch.set_rng_state(torch_state)
    assert_same(first.state, second.state)
    assert first.final == second.final
    other = train(dataclasses.replace(config, seed=1), few)
    assert not torch.equal(first.state["conv1.weight"], other.state["conv1.weight"])
    gradients = 2 if recipe.startswith("sam") else 1
    assert first.history["gradient_evaluations"] == [101 * gradients, 202 * gradients]


def test_sam_without_radius_trains_as_the_base_bit_for_bit(few):
    base = train(QUICK, few)
    sam = train(dataclasses.replace(QUICK, recipe="sam", rho=0.0), few)
    assert_same(base.state, sam.state)


def test_a_pair_shares_weights_order_and_draws(few, monkeypatch):
    seen: dict[str, list[torch.Tensor]] = {}
    started = {}
    step = Step.__call__

    def record(self, inputs, labels, **options):
        recipe = "sam" if isinstance(self.run.optimizer, SAM) else "adam"
        started.setdefault(recipe, {name: value.clone() for name, value in self.run.model.state_dict().items()})
        seen.setdefault(recipe, []).append(inputs.clone())
        return step(self, inputs, labels, **options)

    monkeypatch.setattr(Step, "__call__", record)
    pair = train_pair(dataclasses.replace(QUICK, recipe="pair"), few)
    assert set(pair) == {"sam", "adam"}
    assert_same(started["sam"], started["adam"])
    assert len(seen["adam"]) == 2 * len(seen["sam"]) == 8
    assert all(torch.equal(a, b) for a, b in zip(seen["sam"], seen["adam"][:4], strict=True))
    assert not torch.equal(seen["sam"][0], seen["sam"][2])  # another epoch
    assert pair["sam"].history["gradient_evaluations"][-1] == pair["adam"].history["gradient_evaluations"][-1]
    assert pair["adam"].training["rho"] is None
    assert [m.epochs for m in pair_members(TrainConfig(recipe="pair", epochs=3), equal_epochs=True)] == [3, 3]
    tuned = pair_members(TrainConfig(recipe="pair", lr=0.1, base_lr=0.2))
    assert [(m.recipe, m.lr, m.base_lr) for m in tuned] == [("sam", 0.1, None), ("adam", 0.2, None)]
    assert [m.lr for m in pair_members(TrainConfig(recipe="pair", lr=0.1))] == [0.1, 0.1]


def test_augmentation_reaches_the_training_batches_only(few):
    plain = DeviceDataset(few, "train", CPU)
    padded = DeviceDataset(few, "train", CPU, augmentation=Augmentation(pad=1))
    index = torch.tensor([5, 0, 100])
    for data in (plain, padded):
        inputs, labels = data.batch(index)
        torch.testing.assert_close(inputs, few.preprocess(few.splits["train"].inputs[index]), rtol=0, atol=0)
        assert torch.equal(labels, few.splits["train"].labels[index])


def test_inputs_that_are_no_images(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(65, 12, generator=generator)
    labels = (inputs @ torch.randn(12, 3, generator=generator)).argmax(1)
    data = Dataset("npz", {"train": Split(inputs, labels)}, ("a", "b", "c"))

    def mlp(num_classes, in_channels):
        return nn.Sequential(
            nn.Linear(in_channels, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, num_classes)
        )

    monkeypatch.setitem(models.MODELS, "mlp", mlp)
    config = TrainConfig(
        recipe="sam", model="mlp", epochs=20, batch_size=32, lr=1e-2, precision="float32", device="cpu"
    )
    checkpoint = train(config, data)  # 65 = 32 + 33: one left-over example would break BatchNorm1d
    assert checkpoint.final["train_accuracy"] > 0.9
    assert set(checkpoint.final) == {"train_loss", "train_accuracy"}
    assert checkpoint.training["augment"] == "none"
    assert not checkpoint.data["augmented"]
    assert_same(checkpoint.state, train(config, data).state)


def test_evaluation_weighs_examples_and_keeps_the_mode(digits):
    model = initial_model(resolve(QUICK, digits)).train()
    model.bn1.eval()
    data = DeviceDataset(digits, "test", CPU)
    model.eval()
    logits = model(digits.preprocess(digits.splits["test"].inputs)).detach()
    model.train()
    losses = F.cross_entropy(logits, digits.splits["test"].labels, reduction="none").double()
    for size in (1000, 77):
        assert evaluate(model, data, precision="float32", batch_size=size).loss == pytest.approx(
            losses.mean().item(), 1e-6
        )
    chosen = stratified_subset(digits.splits["test"].labels, 50, 0)
    found = evaluate(model, data, precision="float32", indices=chosen)
    assert found.loss == pytest.approx(losses[chosen].mean().item(), 1e-6)
    assert model.training
    assert torch.equal(model.bn1.running_mean, torch.zeros(16))


def test_bfloat16_trains_near_float32(few):
    losses = {
        p: train(dataclasses.replace(QUICK, precision=p), few).final["train_loss"] for p in ("float32", "bfloat16")
    }
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.2)
    assert losses["bfloat16"] != losses["float32"]
    assert resolve(dataclasses.replace(QUICK, precision="auto"), few).precision in ("float32", "bfloat16")


def test_divergence_names_the_epoch_and_the_remedy(few):
    with pytest.raises(LandscapeError, match=r"sgd became (nan|inf) in epoch [12] of 3; take an lr below 1e\+20"):
        train(dataclasses.replace(QUICK, recipe="sgd", lr=1e20, epochs=3), few)


@pytest.mark.parametrize(
    ("examples", "size", "expected"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1]), (4, 4, [4]), (5, 4, [5])],
)
def test_batches_cover_everything_and_leave_no_single_example(examples, size, expected):
    slices = batch_slices(examples, size)
    assert [cut.stop - cut.start for cut in slices] == expected
    assert [i for cut in slices for i in range(examples)[cut]] == list(range(examples))


def test_order_is_a_permutation_of_seed_and_epoch():
    orders = {(s, e): epoch_order(1000, seed=s, epoch=e, device=CPU) for s in (0, 1) for e in (1, 2)}
    assert all(torch.equal(order.sort().values, torch.arange(1000)) for order in orders.values())
    assert len({tuple(order.tolist()) for order in orders.values()}) == 4
    assert torch.equal(epoch_order(1000, seed=0, epoch=1, device=CPU), orders[0, 1])
    assert epoch_order(5, seed=0, epoch=1, device=CPU).tolist() == [3, 4, 2, 1, 0]  # on every machine


def test_schedule_warms_up_and_decays_to_zero():
    rates = [learning_rate("cosine", 2.0, step=i, steps=100, warmup=0.1) for i in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert max(rates) == rates[10] == 2.0
    expected = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0), 90)
    for rate in rates[10:]:
        assert rate == pytest.approx(expected.get_last_lr()[0], abs=1e-12)
        expected.optimizer.step()
        expected.step()
    assert learning_rate("cosine", 2.0, step=0, steps=1, warmup=0.05) == 2.0


def test_defaults_of_the_recipes(few):
    model = nn.Linear(2, 2)
    for recipe, kind, lr, decay in (("adam", torch.optim.Adam, 1e-3, 0.0), ("sgd", torch.optim.SGD, 0.1, 5e-4)):
        for name in (recipe, "sam" if recipe == "adam" else "sam-sgd"):
            config = resolve(dataclasses.replace(QUICK, recipe=name), few)
            assert resolve(config, few) == config
            optimizer = make_optimizer(config, model)
            base = optimizer.base if isinstance(optimizer, SAM) else optimizer
            assert isinstance(optimizer, SAM) == name.startswith("sam")
            assert type(base) is kind
            assert (base.param_groups[0]["lr"], base.param_groups[0]["weight_decay"]) == (lr, decay)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "adamx"}, "unknown recipe 'adamx'; known: adam, sam, asam, .*, pair, coursework"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"lr": math.nan}, "lr must be"),
        ({"lr": 0.0}, "lr must be"),
        ({"rho": -1.0}, "rho must be"),
        ({"weight_decay": math.inf}, "weight_decay must be"),
        ({"warmup": 1.0}, "warmup must be"),
        ({"seed": -1}, "seed must be"),
        ({"augment": "cutout"}, "unknown augment 'cutout'; known: auto, none, crop, crop-flip"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings, message):
    with pytest.raises(LandscapeError, match=message):
        TrainConfig(**settings)


def test_settings_that_do_not_fit_the_data_are_refused(few):
    with pytest.raises(LandscapeError, match="batch_size 102 is more than the 101"):
        train(dataclasses.replace(QUICK, batch_size=102), few)
    with pytest.raises(LandscapeError, match="device 'tpu' cannot be used"):
        train(dataclasses.replace(QUICK, device="tpu"), few)
    with pytest.raises(LandscapeError, match="unknown model"):
        train(dataclasses.replace(QUICK, model="resnet9000"), few)
    with pytest.raises(LandscapeError, match="a pair of runs"):
        train(dataclasses.replace(QUICK, recipe="pair"), few)
    with pytest.raises(LandscapeError, match="needs a recipe 'pair' or 'coursework'"):
        train_pair(QUICK, few)
