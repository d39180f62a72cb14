"""The Lightning callback: with a stand-in that calls its hooks in Lightning's order, and with Lightning if installed.

The stand-in knows automatic optimization on one process; it has no precision plugins, strategies or several optimizers.
"""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError
from landscape.monitoring.adapters.lightning import lightning_callback
from landscape.monitoring.monitor import Monitor

INPUTS = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


class Logger:
    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step):
        self.rows.append((step, metrics))


class Module(nn.Module):
    """As a LightningModule: the network is one of its attributes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


@pytest.fixture
def stand_in(monkeypatch):
    """Put a package with an empty `Callback` in the place of Lightning."""
    package, pytorch = ModuleType("lightning"), ModuleType("lightning.pytorch")
    pytorch.Callback = type("Callback", (), {})
    package.pytorch = pytorch
    monkeypatch.setitem(sys.modules, "lightning", package)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", pytorch)
    return pytorch


def fit(callback, module, *, batches, accumulate=1, is_global_zero=True):
    """Train as Lightning's loop does: the hook before the step, the step, the schedule, the hook after the batch."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    trainer = SimpleNamespace(global_step=0, optimizers=[optimizer], loggers=[Logger()], is_global_zero=is_global_zero)
    for index in range(batches):
        loss = nn.functional.cross_entropy(module.net(INPUTS), LABELS)
        loss.backward()
        if (index + 1) % accumulate == 0:
            callback.on_before_optimizer_step(trainer, module, optimizer)
            optimizer.step()
            optimizer.zero_grad()
            trainer.global_step += 1
            schedule.step()
        callback.on_train_batch_end(trainer, module, {"loss": loss}, None, index)
    return trainer


def test_it_probes_after_optimizer_steps_and_logs_with_the_step_size_that_was_used(stand_in):
    module = Module()
    objective = Objective(module.net, "cross_entropy", INPUTS, LABELS, device="cpu")
    monitor = Monitor(objective, every=2)
    callback = lightning_callback(monitor)
    assert isinstance(callback, stand_in.Callback)
    trainer = fit(callback, module, batches=8, accumulate=2)
    assert monitor.result.position.tolist() == [2, 4]
    assert monitor.result.series("learning_rate").tolist() == pytest.approx([0.4 / 2, 0.4 / 4])
    assert (monitor.result.series("critical_step_size") > 0).all()
    ((first, metrics), (second, _)) = trainer.loggers[0].rows
    assert (first, second) == (2, 4)
    assert metrics["landscape/lambda_max"] == monitor.result.series("lambda_max")[0]


def test_only_the_main_process_measures(stand_in):
    module = Module()
    monitor = Monitor(Objective(module.net, "cross_entropy", INPUTS, LABELS, device="cpu"), every=1)
    fit(lightning_callback(monitor), module, batches=2, is_global_zero=False)
    assert len(monitor.result.position) == 0


def test_a_missing_package_is_named(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LandscapeError, match="pip install lightning"):
        lightning_callback(None)


@pytest.mark.filterwarnings("ignore")
def test_with_lightning_itself(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch", exc_type=ImportError)

    class Task(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Module().net

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.4)

    task = Task()
    monitor = Monitor(Objective(task.net, "cross_entropy", INPUTS, LABELS, device="cpu"), every=2)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(INPUTS, LABELS), batch_size=8)
    trainer = lightning.Trainer(
        max_epochs=1, callbacks=[lightning_callback(monitor)], accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(task, loader)
    assert monitor.result.position.tolist() == [2, 4]
