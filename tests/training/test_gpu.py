"""Training on CUDA: every precision, compiled and captured steps, fused optimizers, resuming; skipped without one."""

import dataclasses
import warnings

import pytest
import torch
from cases.gpu import CUDA_ONLY, DEVICE, GPU, ON_CUDA, full_precision, no_waiting
from torch import nn

from landscape import models
from landscape.data import Dataset, Split, load_dataset
from landscape.training import TrainConfig, resolve, train
from landscape.training.averaging import update_average
from landscape.training.distributed import ProcessGroup
from landscape.training.run import TrainingRun
from landscape.training.step import Step

pytestmark = GPU

CONFIG = TrainConfig(epochs=2, batch_size=50, precision="float32", compile="off", device=DEVICE)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


class Small(nn.Sequential):
    """A network that is compiled in seconds; no bias, whose gradient would be rounding alone before BatchNorm."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        layers = [nn.Conv2d(in_channels, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        layers += [nn.Conv2d(16, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        super().__init__(*layers, nn.Flatten(), nn.Linear(16 * 4 * 4, num_classes))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "small", Small)


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    splits = {name: Split(split.inputs[:120], split.labels[:120]) for name, split in digits.splits.items()}
    return Dataset("digits", splits, digits.classes, digits.mean, digits.std)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("recipe", ["adam", "sam", "sam-sgd"])
def test_every_precision_learns(digits: Dataset, recipe: str, precision: str) -> None:
    config = dataclasses.replace(CONFIG, recipe=recipe, precision=precision, epochs=4, batch_size=64)
    assert train(config, digits).final["test_accuracy"] > 0.8


@pytest.mark.parametrize(
    "settings", [{"recipe": "adam"}, {"recipe": "sam"}, {"recipe": "sgd", "max_norm": 1.0}], ids=str
)
def test_steps_are_the_cpus(few: Dataset, settings: dict[str, object]) -> None:
    config = dataclasses.replace(CONFIG, epochs=1, **settings)  # type: ignore[arg-type]
    with full_precision():
        found, expected = (train(dataclasses.replace(config, device=device), few) for device in (DEVICE, "cpu"))
    for name, value in expected.state.items():
        torch.testing.assert_close(found.state[name], value, rtol=5e-3, atol=5e-4, msg=name)


@pytest.mark.parametrize(
    "settings",
    [{"recipe": "adam"}, {"recipe": "sam"}, {"recipe": "sam", "micro_batch": 25}, {"recipe": "looksam", "every": 2}],
    ids=str,
)
def test_compiled_steps_are_the_eager_ones(few: Dataset, settings: dict[str, object]) -> None:
    """Batches of 50, 50 and 20: captured from the third step on, the last of each epoch eager."""
    config = dataclasses.replace(CONFIG, model="small", epochs=3, **settings)  # type: ignore[arg-type]
    with full_precision(), warnings.catch_warnings():
        warnings.filterwarnings("error", "torch.compile failed")
        compiled, eager = (train(dataclasses.replace(config, compile=choice), few) for choice in ("on", "off"))
    for name, value in eager.state.items():
        torch.testing.assert_close(compiled.state[name], value, rtol=1e-2, atol=1e-3, msg=name)


def test_compiled_bfloat16_learns(digits: Dataset) -> None:
    config = TrainConfig(model="small", recipe="sam", epochs=6, lr=0.01, batch_size=64, device=DEVICE)
    config = dataclasses.replace(config, precision="bfloat16", compile="on")
    assert train(config, digits).final["test_accuracy"] > 0.8


@CUDA_ONLY
@pytest.mark.parametrize("compiled", ["off", "on"])
@pytest.mark.parametrize("recipe", ["adam", "sam", "rwp", "ema"])
def test_no_step_waits_for_the_device(few: Dataset, recipe: str, compiled: str) -> None:
    config = dataclasses.replace(CONFIG, model="small", recipe=recipe, compile=compiled, precision="bfloat16")
    config = resolve(config, few)
    run = TrainingRun(config, few, ProcessGroup())
    step = Step(run)
    inputs = few.preprocess(few.splits["train"].inputs[:50].to(DEVICE))
    labels = few.splits["train"].labels[:50].to(DEVICE)

    def take() -> None:
        run.losses += step(inputs, labels, lr=1e-3, share=1.0)
        if run.average is not None:
            update_average(run.average, run.model)

    for _ in range(5):  # compiles and captures
        take()
    with no_waiting():
        for _ in range(3):
            take()
    assert torch.isfinite(run.losses)


@pytest.mark.parametrize("recipe", ["adam", "sgd", "sam"])
def test_optimizers_are_fused(few: Dataset, recipe: str) -> None:
    run = TrainingRun(resolve(dataclasses.replace(CONFIG, recipe=recipe), few), few, ProcessGroup())
    base = getattr(run.optimizer, "base", run.optimizer)
    assert base.defaults["fused"]
    assert all(p.device.type == torch.device(DEVICE).type for group in base.param_groups for p in group["params"])


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("settings", [{"recipe": "adam"}, {"recipe": "sam", "precision": "float16"}], ids=str)
def test_a_stopped_run_resumes(few: Dataset, tmp_path, settings: dict[str, object]) -> None:
    config = dataclasses.replace(CONFIG, lr=1e-4, **settings)  # type: ignore[arg-type]

    def stop(done: int, _: int) -> None:
        if done == 4:
            raise StoppedError

    state = tmp_path / "a.partial"
    with full_precision():
        whole = train(config, few)
        with pytest.raises(StoppedError):
            train(config, few, state=state, save_seconds=0.0, on_step=stop)
        resumed = train(config, few, state=state)
    assert resumed.provenance["resumed"] == 1
    for name, value in whole.state.items():
        torch.testing.assert_close(resumed.state[name], value, rtol=1e-3, atol=1e-4, msg=name)


class Dropping(nn.Sequential):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * in_channels, num_classes))


def test_dropout_of_a_resumed_run_goes_on(few: Dataset, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "dropping", Dropping)
    config = dataclasses.replace(CONFIG, model="dropping", recipe="sgd", lr=0.01)

    def stop(done: int, _: int) -> None:
        if done == 4:
            raise StoppedError

    state = tmp_path / "a.partial"
    with full_precision():
        whole = train(config, few)
        with pytest.raises(StoppedError):
            train(config, few, state=state, save_seconds=0.0, on_step=stop)
        resumed = train(config, few, state=state)
    for name, value in whole.state.items():
        torch.testing.assert_close(resumed.state[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_what_is_left_open_is_resolved_for_the_device(digits: Dataset) -> None:
    config = TrainConfig(recipe="adam", epochs=200, batch_size=64, device=DEVICE)
    resolved = resolve(config, digits)
    assert resolved.compile == ("on" if ON_CUDA else "off")
    assert resolved.precision in ("float32", "bfloat16")
    assert resolve(dataclasses.replace(config, epochs=1), digits).compile == "off"
