"""The callback of Hugging Face's Trainer: with a stand-in that calls its hook in the Trainer's order.

The stand-in knows one process and full precision; it has no gradient accumulation, no accelerate wrappers and no
integrations. With Transformers installed, the Trainer itself is tested, too.
"""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError
from landscape.monitoring.adapters.transformers import add_to_trainer
from landscape.monitoring.monitor import Monitor

INPUTS = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, x, labels=None):
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Trainer:
    """Steps in the order of `transformers.Trainer`: optimizer, callbacks, schedule, count."""

    def __init__(self, model, *, is_main=True):
        self.model, self.callbacks, self.logs = model, [], []
        self.state = SimpleNamespace(global_step=0, is_world_process_zero=is_main)

    def add_callback(self, callback):
        self.callbacks.append(callback)

    def log(self, logs):
        self.logs.append(logs)

    def train(self, steps):
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        for _ in range(steps):
            self.model(INPUTS, LABELS)["loss"].backward()
            optimizer.step()
            for callback in self.callbacks:
                callback.on_optimizer_step(None, self.state, None, model=self.model, optimizer=optimizer)
            schedule.step()
            self.model.zero_grad()
            self.state.global_step += 1


@pytest.fixture
def stand_in(monkeypatch):
    """Put a package with an empty `TrainerCallback` in the place of Transformers."""
    package = ModuleType("transformers")
    package.TrainerCallback = type("TrainerCallback", (), {})
    monkeypatch.setitem(sys.modules, "transformers", package)
    return package


def test_it_probes_after_optimizer_steps_and_logs_through_the_trainer(stand_in):
    model = Model()
    monitor = Monitor(Objective(model.net, "cross_entropy", INPUTS, LABELS, device="cpu"), every=2)
    trainer = Trainer(model)
    callback = add_to_trainer(trainer, monitor)
    assert isinstance(callback, stand_in.TrainerCallback)
    trainer.train(5)
    assert monitor.result.position.tolist() == [2, 4]
    assert monitor.result.series("learning_rate").tolist() == pytest.approx([0.1 / 2, 0.1 / 4])
    assert [logs["landscape/lambda_max"] for logs in trainer.logs] == monitor.result.series("lambda_max").tolist()


def test_only_the_main_process_measures(stand_in):
    model = Model()
    monitor = Monitor(Objective(model.net, "cross_entropy", INPUTS, LABELS, device="cpu"), every=1)
    trainer = Trainer(model, is_main=False)
    add_to_trainer(trainer, monitor)
    trainer.train(2)
    assert (len(monitor.result.position), trainer.logs) == (0, [])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LandscapeError, match="pip install transformers accelerate"):
        add_to_trainer(None, None)


@pytest.mark.filterwarnings("ignore")
def test_with_transformers_itself(tmp_path):
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    pytest.importorskip("accelerate", exc_type=ImportError)
    model = Model()
    monitor = Monitor(Objective(model.net, "cross_entropy", INPUTS, LABELS, device="cpu"), every=2)
    rows = [{"x": x, "labels": label} for x, label in zip(INPUTS, LABELS, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=8, use_cpu=True, report_to=[],
        save_strategy="no", learning_rate=0.1, disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=rows)
    add_to_trainer(trainer, monitor)
    trainer.train()
    assert monitor.result.position.tolist() == [2, 4]
    logged = [row["landscape/lambda_max"] for row in trainer.state.log_history if "landscape/lambda_max" in row]
    assert logged == monitor.result.series("lambda_max").tolist()
