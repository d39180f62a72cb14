"""Runs that start from the weights of a file, and SAM from a later epoch on, against loops written out."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from landscape.data import Dataset, Split
from landscape.errors import LandscapeError
from landscape.models import MODELS
from landscape.models.checkpoint import build_model, load_checkpoint, save_checkpoint
from landscape.storage.atomic_write import file_sha256
from landscape.training import TrainConfig, pair_members, train
from landscape.training.config.initial_weights import InitialWeights
from landscape.training.pipeline.shuffling import batch_slices, epoch_order
from landscape.training.settings import initial_model, resolve
from landscape.workflow.training import train_or_resume

QUICK = TrainConfig(
    model="smooth",
    model_arguments={"hidden": 5},
    epochs=3,
    batch_size=20,
    lr=0.1,
    schedule="constant",
    warmup=0.0,
    augment="none",
    precision="float32",
    device="cpu",
)


def smooth(num_classes, in_channels, hidden=8):
    """Return a network without kinks, at which rounding would grow."""
    return nn.Sequential(
        nn.Linear(in_channels, hidden), nn.BatchNorm1d(hidden), nn.Tanh(), nn.Linear(hidden, num_classes)
    )


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setitem(MODELS, "smooth", smooth)
    inputs = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return Dataset("npz", {"train": Split(inputs, torch.arange(60) % 3)}, ("a", "b", "c"))


@pytest.fixture
def earlier(data, tmp_path):
    """A finished run of another recipe, seed and learning rate."""
    checkpoint = train(dataclasses.replace(QUICK, recipe="sgd", epochs=2, seed=5), data)
    save_checkpoint(checkpoint, tmp_path / "earlier.pt")
    return tmp_path / "earlier.pt"


def loop(model, data, config, *, rho, sam_from):
    """Return the weights after a loop of SGD, from epoch `sam_from` on of SAM with SGD, and the gradients taken."""
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=config.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    split, gradients = data.splits["train"], 0

    def differentiate(batch):
        nonlocal gradients
        gradients += len(batch)
        loss = F.cross_entropy(model(split.inputs[batch]), split.labels[batch])
        return torch.autograd.grad(loss, parameters)

    def statistics():
        return {name: value.clone() for name, value in model.state_dict().items() if "running" in name or "num" in name}

    model.train()
    for epoch in range(1, config.epochs + 1):
        order = epoch_order(len(split), seed=config.seed, epoch=epoch, device=torch.device("cpu"))
        for batch in batch_slices(len(split), config.batch_size):
            step = differentiate(order[batch])
            if epoch >= sam_from:
                norm = torch.sqrt(sum(g.square().sum() for g in step))
                before, kept = [p.detach().clone() for p in parameters], statistics()
                with torch.no_grad():
                    for p, g in zip(parameters, step, strict=True):
                        p.add_(g, alpha=float(rho / norm))
                step = differentiate(order[batch])
                model.load_state_dict(kept, strict=False)
                with torch.no_grad():
                    for p, w in zip(parameters, before, strict=True):
                        p.copy_(w)
            for p, g in zip(parameters, step, strict=True):
                p.grad = g
            optimizer.step()
    return model.state_dict(), gradients


def assert_close(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("recipe", "sam_from"), [("sgd", 99), ("sam-sgd", 1), ("sam-sgd", 3)])
def test_a_run_from_a_checkpoint_is_a_loop_from_its_weights(data, earlier, recipe, sam_from):
    changes = {"sam_from": sam_from} if recipe == "sam-sgd" else {}
    config = dataclasses.replace(QUICK, recipe=recipe, start=InitialWeights(earlier), seed=1, **changes)
    checkpoint = train(config, data)
    state, gradients = loop(build_model(load_checkpoint(earlier)), data, config, rho=0.05, sam_from=sam_from)
    assert_close(checkpoint.state, state)
    assert checkpoint.history["gradient_evaluations"][-1] == gradients


@pytest.mark.parametrize("sam_from", [2, 3])
def test_sam_from_an_epoch_is_a_loop_that_switches(data, sam_from):
    config = dataclasses.replace(QUICK, recipe="sam-sgd", rho=0.1, sam_from=sam_from)
    checkpoint = train(config, data)
    state, gradients = loop(initial_model(resolve(config, data)), data, config, rho=0.1, sam_from=sam_from)
    assert_close(checkpoint.state, state)
    assert checkpoint.history["gradient_evaluations"][-1] == gradients == 60 * (3 + 3 - sam_from + 1)
    assert checkpoint.training["sam_from"] == sam_from


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.fixture
def saved_every_step(monkeypatch):
    monkeypatch.setattr("landscape.training.loop.SAVE_SECONDS", 0.0)


@pytest.mark.usefixtures("saved_every_step")
def test_a_stopped_late_run_resumes_to_the_same_weights(data, earlier, tmp_path):
    config = dataclasses.replace(QUICK, recipe="sam", sam_from=2, start=InitialWeights(earlier))
    undisturbed = train(config, data)

    def stopping_after(steps):
        def on_step(done, total):
            if done == steps:
                raise StoppedError

        return on_step

    state = tmp_path / "late.partial"
    for stop in (2, 3, 5, 8):
        with pytest.raises(StoppedError):
            train(config, data, state=state, on_step=stopping_after(stop))
    for other in (dataclasses.replace(config, start=None), dataclasses.replace(config, sam_from=1)):
        with pytest.raises(LandscapeError, match=r"other settings: (start|sam_from) is .* there and (None|1) here"):
            train(other, data, state=state)
    resumed = train(config, data, state=state)
    assert resumed.provenance["resumed"] == 4
    for name, value in undisturbed.state.items():
        assert torch.equal(value, resumed.state[name]), name


def test_the_checkpoint_records_where_it_started(data, earlier, tmp_path):
    config = dataclasses.replace(QUICK, epochs=1, start=InitialWeights(earlier))
    first = train(config, data)
    origin = {"file": "earlier.pt", "fingerprint": file_sha256(earlier), "recipe": "sgd", "optimizer": "SGD"}
    assert first.provenance["start"] == {**origin, "epochs_taken": 2, "seed": 5}
    assert first.training["start"] == file_sha256(earlier)
    save_checkpoint(first, tmp_path / "first.pt")
    second = train(dataclasses.replace(QUICK, epochs=1, start=InitialWeights(tmp_path / "first.pt")), data)
    assert second.provenance["start"]["start"] == first.provenance["start"]
    assert "start" not in train(dataclasses.replace(QUICK, epochs=1), data).provenance


def test_a_strangers_file_is_a_start(data, earlier, tmp_path):
    expected = train(dataclasses.replace(QUICK, start=InitialWeights(earlier)), data).state
    state = load_checkpoint(earlier).state
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"epoch": 3, "net": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "b.pt")
    torch.save({"ema": state, "raw": {name: 0.0 * value for name, value in state.items()}}, tmp_path / "c.pt")
    for start in (
        InitialWeights(tmp_path / "a.safetensors"),
        InitialWeights(tmp_path / "b.pt"),
        InitialWeights(tmp_path / "c.pt", key="ema"),
    ):
        checkpoint = train(dataclasses.replace(QUICK, start=start), data)
        assert all(torch.equal(value, checkpoint.state[name]) for name, value in expected.items())
        assert checkpoint.provenance["start"] == {"file": start.path.name, "fingerprint": start.fingerprint}


def test_a_checkpoint_states_the_arguments_of_its_model(data, earlier):
    config = dataclasses.replace(QUICK, model_arguments={}, start=InitialWeights(earlier))
    assert resolve(config, data).model_arguments == {"num_classes": 3, "in_channels": 6, "hidden": 5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet20"}, r"earlier\.pt holds a smooth, not a resnet20; set that model"),
        ({"model_arguments": {"hidden": 7}}, r"cannot start from .*earlier\.pt: the weights do not fit Sequential: "),
        ({"recipe": "adam", "sam_from": 2}, "sam_from 2 is for recipes of SAM, not adam"),
    ],
)
def test_what_cannot_start_is_refused_in_one_line(data, earlier, changes, message):
    with pytest.raises(LandscapeError, match=message) as raised:
        train(dataclasses.replace(QUICK, start=InitialWeights(earlier), **changes), data)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_an_epoch_beyond_the_last_are_refused(data, tmp_path):
    with pytest.raises(LandscapeError, match="no such file"):
        train(dataclasses.replace(QUICK, start=InitialWeights(tmp_path / "none.pt")), data)
    with pytest.raises(LandscapeError, match="sam_from 4 is more than the 3 epochs"):
        dataclasses.replace(QUICK, recipe="sam", sam_from=4)


def test_a_finished_checkpoint_of_another_start_is_not_reused(data, earlier, tmp_path):
    paths = {"adam": tmp_path / "out.pt"}
    config = dataclasses.replace(QUICK, epochs=1, start=InitialWeights(earlier))
    trained = train_or_resume(config, data, paths)["adam"]
    assert train_or_resume(config, data, paths)["adam"].provenance == trained.provenance
    with pytest.raises(LandscapeError, match=r"other settings: start is \w+ there and None here"):
        train_or_resume(dataclasses.replace(config, start=None), data, paths)


def test_members_of_a_pair_take_equally_many_gradients():
    sam, base = pair_members(TrainConfig(recipe="pair", epochs=8, sam_from=6, start=InitialWeights("a.pt")))
    assert (sam.epochs, sam.sam_from, base.epochs, base.sam_from) == (8, 6, 5 + 2 * 3, 1)
    assert sam.start == base.start == InitialWeights("a.pt")
