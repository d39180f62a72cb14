"""A run that stops anywhere goes on to the same weights, bit for bit, and what cannot go on is refused."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from landscape.data import Dataset, Split, load_dataset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import build_model
from landscape.training import DivergedError, TrainConfig, train
from landscape.training.distributed import ProcessGroup
from landscape.training.run import TrainingRun, settings_of
from landscape.training.settings import resolve, with_validation

QUICK = TrainConfig(epochs=3, batch_size=40, precision="float32", device="cpu", hold_out=0.2, history_examples=30)
STEPS = 9


@pytest.fixture(scope="module")
def few():
    digits = load_dataset("digits")
    splits = {name: Split(split.inputs[:150], split.labels[:150]) for name, split in digits.splits.items()}
    return Dataset("digits", splits, digits.classes, digits.mean, digits.std)


class StoppedError(Exception):
    """Stands for a kill: nothing of the run is left but its files."""


def stopping_after(steps):
    def on_step(done, total):
        assert total == STEPS
        if done == steps:
            raise StoppedError

    return on_step


def assert_same(first, second):
    assert first.state.keys() == second.state.keys()
    for name in first.state:
        assert torch.equal(first.state[name], second.state[name]), name
    assert first.final == second.final
    for column in first.history.keys() | second.history.keys():
        if column != "seconds":
            assert first.history[column] == second.history[column], column


CASES = {
    "adam": {},
    "sam": {"recipe": "sam"},
    "looksam": {"recipe": "looksam", "every": 2},
    "m-sam": {"recipe": "sam", "micro_batch": 16},
    "fsam": {"recipe": "fsam", "rho_schedule": "lr", "rho_min": 0.01},
    "rwp": {"recipe": "rwp"},
    "swa": {"recipe": "swa", "average_from": 0.3},
    "ema": {"recipe": "ema", "ema_decay": 0.7},
    "sgd": {"recipe": "sgd", "decay": "weights", "max_norm": 1.0, "label_smoothing": 0.1, "cutout": 3},
    "plateau": {"recipe": "coursework-adam", "patience": 2},
}


@pytest.fixture
def saved_every_step(monkeypatch):
    monkeypatch.setattr("landscape.training.loop.SAVE_SECONDS", 0.0)


@pytest.mark.usefixtures("saved_every_step")
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_a_run_stopped_anywhere_resumes_to_the_same_weights(few, tmp_path, settings):
    config = dataclasses.replace(QUICK, **settings)
    undisturbed = train(config, few)
    state = tmp_path / "a.partial"
    for stop in (2, 3, 4, 8):  # in the first epoch, at its end, just after it, and in the last
        with pytest.raises(StoppedError):
            train(config, few, state=state, on_step=stopping_after(stop))
        assert state.exists()
        torch.rand(5)  # whatever else the process draws
    resumed = train(config, few, state=state)
    assert_same(resumed, undisturbed)
    assert resumed.provenance["resumed"] == 4
    assert_same(train(config, few, state=state), undisturbed)  # killed between the end and the saving


def test_a_state_holds_the_generator_of_the_device_that_trains(unfinished, monkeypatch, tmp_path):
    _, make_run = unfinished
    states = {"cuda:1": torch.arange(16, dtype=torch.uint8)}

    class FakeCuda:
        get_rng_state = staticmethod(lambda device: states[str(device)].clone())
        set_rng_state = staticmethod(lambda state, device: states.update({str(device): state}))

    monkeypatch.setattr(torch, "get_device_module", lambda device: FakeCuda)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    run = make_run()
    run.device = torch.device("cuda:1")
    run.save(tmp_path / "a.partial")
    states["cuda:1"] = torch.zeros(16, dtype=torch.uint8)
    run.restore(tmp_path / "a.partial", steps=STEPS)
    assert torch.equal(states["cuda:1"], torch.arange(16, dtype=torch.uint8))


def test_only_the_steps_since_the_last_time_are_taken_again(few, tmp_path):
    state = tmp_path / "a.partial"
    with pytest.raises(StoppedError):
        train(QUICK, few, state=state, on_step=stopping_after(5))  # kept at the end of the first epoch, of 3 steps
    steps = []
    train(QUICK, few, state=state, on_step=lambda done, total: steps.append(done))
    assert steps == [4, 5, 6, 7, 8, 9]


@pytest.mark.usefixtures("saved_every_step")
def test_a_state_of_other_settings_or_data_is_refused(few, tmp_path):
    state = tmp_path / "a.partial"
    with pytest.raises(StoppedError):
        train(QUICK, few, state=state, on_step=stopping_after(2))
    before = state.read_bytes()
    assert settings_of(state)["batch_size"] == 40
    with pytest.raises(LandscapeError, match=r"a\.partial is of an unfinished run .*: lr is 0.001 there and 0.01 here"):
        train(dataclasses.replace(QUICK, lr=0.01), few, state=state)
    inverted = {name: Split(255 - split.inputs, split.labels) for name, split in few.splits.items()}
    with pytest.raises(LandscapeError, match="other settings: the train data is"):
        train(QUICK, dataclasses.replace(few, splits=inverted), state=state)
    assert state.read_bytes() == before
    state.write_bytes(before[:1000])
    with pytest.raises(LandscapeError, match=r"a\.partial"):
        train(QUICK, few, state=state)
    state.write_bytes(b"")
    assert settings_of(state) == {}


def test_snapshots_are_the_weights_along_the_way(few, tmp_path):
    checkpoint = train(QUICK, few, snapshots=tmp_path / "snapshots")
    files = sorted(path.name for path in (tmp_path / "snapshots").glob("*.safetensors"))
    assert files == [f"epoch-{epoch:04d}.safetensors" for epoch in range(4)]
    first, last = (load_file(tmp_path / "snapshots" / name) for name in (files[0], files[-1]))
    assert last.keys() == checkpoint.state.keys()
    assert all(torch.equal(last[name], checkpoint.state[name]) for name in last)
    assert not torch.equal(first["conv1.weight"], last["conv1.weight"])
    assert torch.equal(first["bn1.running_mean"], torch.zeros(16))


def test_snapshots_of_a_resumed_run_are_those_of_an_undisturbed_one(few, tmp_path):
    train(QUICK, few, snapshots=tmp_path / "one")
    for stop in (4, STEPS):
        with pytest.raises(StoppedError):
            train(QUICK, few, snapshots=tmp_path / "two", state=tmp_path / "s", on_step=stopping_after(stop))
    train(QUICK, few, snapshots=tmp_path / "two", state=tmp_path / "s")
    for path in (tmp_path / "one").rglob("*.safetensors"):
        first, second = load_file(path), load_file(tmp_path / "two" / path.relative_to(tmp_path / "one"))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_loss_that_is_no_number_leaves_the_last_good_weights(few, tmp_path):
    spoilt = [0]
    data = dataclasses.replace(few)
    object.__setattr__(data, "preprocess", lambda x: few.preprocess(x) * (math.nan if spoilt[0] else 1.0))
    config = dataclasses.replace(QUICK, hold_out=0.0)

    def on_step(done, total):
        spoilt[0] = int(done == 10)  # the last of the third epoch's four would be finite again

    two = train(dataclasses.replace(config, epochs=2, schedule="constant", warmup=0.0), few)
    with pytest.raises(DivergedError, match=r"the loss of adam became nan in epoch 3 of 3; take an lr below") as raised:
        train(dataclasses.replace(config, schedule="constant", warmup=0.0), data, state=tmp_path / "s", on_step=on_step)
    last = raised.value.last
    assert last is not None
    assert last.training["epochs_taken"] == 2
    assert all(torch.equal(last.state[name], two.state[name]) for name in two.state)


def test_early_stopping_takes_the_best_weights(few):
    config = dataclasses.replace(QUICK, epochs=40, lr=0.02, schedule="constant", patience=3)
    checkpoint = train(config, few)
    losses = checkpoint.history["validation_loss"]
    assert len(losses) < 40
    best = losses.index(min(losses))
    assert len(losses) - 1 - best == 3
    assert checkpoint.training["epochs_taken"] == len(losses)
    assert checkpoint.training["best_epoch"] == best + 1
    assert checkpoint.final["validation_loss"] == pytest.approx(losses[best], rel=1e-5)
    assert checkpoint.data["hold_out"] == {"examples": 30}
    with pytest.raises(LandscapeError, match="patience needs a validation split"):
        train(dataclasses.replace(config, hold_out=0.0), few)


def test_plateau_halves_the_learning_rate_as_keras_does(few):
    config = dataclasses.replace(QUICK, epochs=25, lr=0.02, schedule="plateau", warmup=0.0)
    history = train(config, few).history
    expected, best, wait = 0.02, math.inf, 0
    for loss, lr in zip(history["validation_loss"], history["learning_rate"], strict=True):
        assert lr == pytest.approx(expected)  # the rate that the epoch was taken with
        if loss < best - 1e-4:
            best, wait = loss, 0
        else:
            wait += 1
            if wait >= 3:
                expected, wait = expected / 2, 0
    assert expected < 0.02


def test_averages_are_those_of_the_weights_with_their_own_statistics(few, tmp_path):
    config = dataclasses.replace(QUICK, recipe="swa", average_from=0.3, hold_out=0.0)
    checkpoint = train(config, few, snapshots=tmp_path)
    snapshots = [load_file(path) for path in sorted(tmp_path.glob("*.safetensors"))]
    for name in checkpoint.state:
        if name.endswith(("weight", "bias")):
            mean = torch.stack([snapshot[name].double() for snapshot in snapshots[1:]]).mean(0)
            torch.testing.assert_close(checkpoint.state[name].double(), mean, rtol=1e-5, atol=1e-7)
    assert not torch.equal(checkpoint.state["bn1.running_mean"], snapshots[-1]["bn1.running_mean"])
    model = build_model(checkpoint).double()
    loss = F.cross_entropy(model(few.preprocess(few.splits["train"].inputs).double()), few.splits["train"].labels)
    assert checkpoint.final["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert checkpoint.history["train_loss"][-1] != checkpoint.final["train_loss"]  # the row is of the last weights
    assert checkpoint.training["average"] == "swa"


# ---- states that are damaged, or foreign


@pytest.fixture(scope="module")
def unfinished(few, tmp_path_factory):
    """A state after the first epoch and a step, and a run that would go on with it."""
    config = dataclasses.replace(QUICK, recipe="looksam", every=2, schedule="plateau", warmup=0.0, patience=2)
    path = tmp_path_factory.mktemp("state") / "a.partial"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landscape.training.loop.SAVE_SECONDS", 0.0)
        with pytest.raises(StoppedError):
            train(config, few, state=path, on_step=stopping_after(5))
    config = resolve(config, few)
    data = with_validation(config, few)
    return torch.load(path, weights_only=True), lambda: TrainingRun(config, data, ProcessGroup())


def replaced(content, keys, value):
    """Return a copy with another value at a path of keys; without it for None."""
    copy = dict(content) if isinstance(content, dict) else list(content)
    if len(keys) > 1:
        copy[keys[0]] = replaced(copy[keys[0]], keys[1:], value)
    elif value is None:
        del copy[keys[0]]
    else:
        copy[keys[0]] = value
    return copy


OPTIMIZER = ("parts", "optimizer")


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (["format"], "other", ["is not the state of an unfinished run"]),
        (["identity"], None, ["expected identity as settings by name, got nothing"]),
        (["identity"], [1], ["expected identity as settings by name, got list [1]"]),
        (["identity", "lr"], torch.zeros(2), ["expected identity as settings by name"]),
        (["parts"], None, ["expected the state.parts as an entry, got nothing"]),
        (["parts"], 3, ["expected parts as a mapping, got int 3"]),
        (["parts", "model"], None, ["expected parts.model as an entry"]),
        (["parts", "model", "conv1.weight"], None, ["expected parts.model.conv1.weight as an entry"]),
        (["parts", "model", "conv1.weight"], torch.zeros(3), ["(16, 1, 3, 3)", "got a tensor (3,) of torch.float32"]),
        (["parts", "model", "conv1.weight"], "text", ["parts.model.conv1.weight", "got str 'text'"]),
        (["parts", "model", "more"], torch.zeros(3), ["expected parts.model as a mapping without 'more'"]),
        ([*OPTIMIZER, "state"], [], ["parts.optimizer.state as a mapping by parameter"]),
        ([*OPTIMIZER, "state", 10**6], {}, ["parts.optimizer.state as a mapping by parameter, 0 to"]),
        ([*OPTIMIZER, "state", 0, "exp_avg"], torch.zeros(7), ["parts.optimizer.state.0.exp_avg", "(16, 1, 3, 3)"]),
        ([*OPTIMIZER, "state", 0, "exp_avg"], "text", ["parts.optimizer.state.0.exp_avg", "got str 'text'"]),
        ([*OPTIMIZER, "param_groups"], [], ["parts.optimizer.param_groups as a list of 1"]),
        ([*OPTIMIZER, "param_groups", 0, "params"], [9], ["parts.optimizer.param_groups[0].params"]),
        ([*OPTIMIZER, "param_groups", 0, "lr"], math.nan, ["param_groups[0].lr as a finite number, got float nan"]),
        ([*OPTIMIZER, "param_groups", 0, "fused"], "yes", ["param_groups[0].fused as bool"]),
        ([*OPTIMIZER, "perturbation", "steps"], "many", ["parts.optimizer.perturbation.steps as a finite number"]),
        (["parts", "plateau", "best"], [1.0], ["parts.plateau.best as a finite number"]),
        (["random", "cpu"], torch.zeros(5), ["random.cpu", "of torch.uint8"]),
        (["random", "cpu"], torch.zeros(5056, dtype=torch.uint8), ["is damaged"]),
        (["counters"], [1, 2], ["expected counters as a mapping"]),
        (["counters", "epoch"], 4, ["counters.epoch as a whole number from 0 to 3, got int 4"]),
        (["counters", "epoch"], -1, ["counters.epoch"]),
        (["counters", "epoch"], 1.5, ["counters.epoch"]),
        (["counters", "epoch"], 2, ["history.epoch as a list of 2 finite numbers"]),
        (["counters", "step"], 4, ["counters.step as a whole number from 0 to 3, got int 4"]),
        (["counters", "seconds"], math.inf, ["counters.seconds as a finite number"]),
        (["losses"], torch.tensor(math.nan), ["losses as a finite number", "that holds nan"]),
        (["losses"], 3.0, ["losses as a tensor ()"]),
        (["history"], [], ["history as a mapping"]),
        (["history", "test_loss"], None, ["expected history.test_loss as an entry"]),
        (["history", "test_loss"], ["low"], ["history.test_loss as a list of 1 finite numbers"]),
        (["history", "epoch"], [1.0, 2.0], ["history.epoch as a list of 1"]),
        (["best"], torch.zeros(3), ["best as a mapping, got a tensor (3,)"]),
        (["best", "conv1.weight"], torch.zeros(3), ["best.conv1.weight"]),
        (["more"], 1, ["expected the state as a mapping without 'more'"]),
    ],
    ids=lambda value: ".".join(map(str, value))[:60] if isinstance(value, list) else type(value).__name__,
)
def test_a_damaged_or_foreign_state_is_one_line_that_names_the_field(unfinished, tmp_path, keys, value, words):
    content, begin = unfinished
    path = tmp_path / "a.partial"
    torch.save(replaced(content, keys, value), path)
    random = torch.get_rng_state()
    with pytest.raises(LandscapeError) as error:
        begin().restore(path, steps=3)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    torch.set_rng_state(random)


@pytest.mark.parametrize("value", [[1, 2], 3, "text", torch.zeros(3), {}])
def test_a_file_without_a_state_is_refused(unfinished, tmp_path, value):
    path = tmp_path / "a.partial"
    torch.save(value, path)
    with pytest.raises(LandscapeError, match="is not the state of an unfinished run"):
        unfinished[1]().restore(path, steps=3)
    assert settings_of(path) == {}


def test_the_state_that_they_were_made_of_is_taken(unfinished, tmp_path):
    content, begin = unfinished
    torch.save(content, tmp_path / "a.partial")
    random = torch.get_rng_state()
    run = begin()
    run.restore(tmp_path / "a.partial", steps=3)
    assert (run.epoch, run.step, run.resumed) == (1, 1, 1)
    torch.set_rng_state(random)
