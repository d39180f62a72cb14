"""Compiled steps: equal to eager ones, for full batches alone, in CUDA graphs only where nothing outlives them."""

import dataclasses
import functools
import warnings

import pytest
import torch
from torch import nn

from landscape import models
from landscape.data import Dataset, Split
from landscape.training import TrainConfig, resolve, train
from landscape.training.distributed import ProcessGroup
from landscape.training.run import TrainingRun
from landscape.training.settings import TIMED_EXAMPLES, timed_examples
from landscape.training.step import CompiledLoss, Step

CONFIG = TrainConfig(
    model="small", epochs=2, batch_size=16, precision="float32", device="cpu", augment="none", history_examples=40
)
COMPILE = torch.compile


class Small(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        super().__init__(nn.Conv2d(in_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


@pytest.fixture
def data(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (40, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.arange(40) % 10
    monkeypatch.setitem(models.MODELS, "small", Small)
    return Dataset("python", {"train": Split(images, labels)}, tuple("0123456789"), mean=(0.5,), std=(0.25,))


@pytest.mark.parametrize("settings", [{}, {"recipe": "sam"}, {"recipe": "sam", "micro_batch": 8}], ids=str)
def test_compiled_training_is_the_eager_one(data, monkeypatch, settings):
    config = dataclasses.replace(CONFIG, **settings)
    eager = train(dataclasses.replace(config, compile="off"), data)
    monkeypatch.setattr(torch, "compile", functools.partial(COMPILE, backend="aot_eager"))  # needs no C compiler
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a failure would be one
        compiled = train(dataclasses.replace(config, compile="on"), data)
    for name, value in eager.state.items():
        torch.testing.assert_close(compiled.state[name], value, rtol=1e-4, atol=1e-5, msg=name)


class FakeCompile:
    """Stands for `torch.compile`: notes its options and the sizes it is called with, and reuses its memory."""

    def __init__(self, *, fails=False):
        self.options, self.sizes, self.fails = [], [], fails
        self.memory = torch.zeros(())

    def __call__(self, loss, **options):
        self.options.append(options)

        def compiled(inputs, labels):
            self.sizes.append(len(labels))
            if self.fails:
                raise RuntimeError("Failed to find C compiler\nand more")
            return self.memory.copy_(loss(inputs, labels))

        return compiled


def test_only_batches_of_the_usual_size_are_compiled_and_results_outlive_the_next(monkeypatch):
    fake = FakeCompile()
    monkeypatch.setattr(torch, "compile", fake)
    loss = CompiledLoss(lambda inputs, labels: inputs.sum(), 2, graphs=True)
    results = [loss(torch.full((n,), float(n)), torch.zeros(n)) for n in (2, 1, 2)]
    results += [loss(torch.tensor([5.0, 6.0]), torch.zeros(2))]
    assert [result.item() for result in results] == [4.0, 1.0, 4.0, 11.0]
    assert fake.sizes == [2, 2, 2]
    assert fake.options == [{"mode": "reduce-overhead", "dynamic": False}]


def test_what_cannot_be_compiled_runs_eagerly_and_says_so_once(monkeypatch):
    monkeypatch.setattr(torch, "compile", FakeCompile(fails=True))
    loss = CompiledLoss(lambda inputs, labels: inputs.sum(), 2, graphs=False)
    with pytest.warns(RuntimeWarning, match="steps run uncompiled: Failed to find C compiler$"):
        assert loss(torch.ones(2), torch.zeros(2)) == 2
    assert loss(torch.ones(2), torch.zeros(2)) == 2


def test_an_error_of_the_model_is_its_own(monkeypatch):
    def loss(inputs, labels):
        raise ValueError("the model's")

    monkeypatch.setattr(torch, "compile", FakeCompile(fails=True))
    with pytest.raises(ValueError, match="the model's"):
        CompiledLoss(loss, 2, graphs=False)(torch.ones(2), torch.zeros(2))


@pytest.mark.parametrize(
    ("device", "settings", "mode"),
    [("cpu", {}, None), ("cuda", {}, "reduce-overhead"), ("cuda", {"recipe": "sam", "micro_batch": 8}, None)],
)
def test_graphs_are_for_gpus_and_for_gradients_that_do_not_outlive_them(data, monkeypatch, device, settings, mode):
    fake = FakeCompile()
    monkeypatch.setattr(torch, "compile", fake)
    config = resolve(dataclasses.replace(CONFIG, compile="on", **settings), data)
    run = TrainingRun(config, data, ProcessGroup())
    run.device = torch.device(device)
    examples = config.micro_batch or config.batch_size
    Step(run)._loss(torch.zeros(examples, 1, 8, 8), torch.zeros(examples, dtype=torch.int64))
    assert fake.options == [{"mode": mode, "dynamic": False}]


@pytest.mark.parametrize(
    ("device", "compiled", "batch_size", "expected"),
    [("cpu", "on", 16, 16), ("cuda", "off", 16, 16), ("cuda", "on", 16, TIMED_EXAMPLES), ("cuda", "on", 8192, 8192)],
)
def test_precisions_of_compiled_steps_are_timed_where_launches_do_not_decide(
    data, device, compiled, batch_size, expected
):
    config = resolve(dataclasses.replace(CONFIG, compile=compiled), data)
    assert timed_examples(dataclasses.replace(config, device=device, batch_size=batch_size)) == expected
