"""The monitor as a callback of Lightning."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.monitoring.monitor import Monitor

PREFIX = "landscape/"  # of the names in the logger


def lightning_callback(monitor: Monitor) -> Any:
    """Return a Lightning callback that probes a run after its optimizer steps and logs the scalars.

    `Trainer(callbacks=[lightning_callback(monitor)])`. Steps are counted as `trainer.global_step` does. The scalars go
    to all loggers of the trainer as `landscape/<quantity>`. In a distributed run the main process measures; models
    that are sharded over processes (FSDP) are not supported.

    Args:
        monitor: whose objective was made with the network inside the module, or with the module itself; its
            parameters are matched by name, those of the module first.

    Raises:
        LandscapeError: if neither `lightning` nor `pytorch_lightning` is installed.
    """
    base: Any = _package().Callback

    class LightningMonitor(base):  # type: ignore[misc]
        """Probes after each optimizer step."""

        def __init__(self) -> None:
            super().__init__()
            self.monitor = monitor
            self._last = 0
            self._learning_rate: float | None = None

        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            """Remember the step size, which a schedule changes before the batch ends."""
            self._learning_rate = float(optimizer.param_groups[0]["lr"])

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            """Probe the run if an optimizer stepped in this batch."""
            step = int(trainer.global_step)
            if step == self._last or not trainer.is_global_zero:
                return
            self._last = step
            readings = monitor.step(step, pl_module, trainer.optimizers[0], learning_rate=self._learning_rate)
            for logger in trainer.loggers if readings else ():
                logger.log_metrics({f"{PREFIX}{name}": value for name, value in readings.items()}, step=step)

    return LightningMonitor()


def _package() -> ModuleType:
    """Return the one of Lightning's two packages that is in use, whose trainer takes no callbacks of the other."""
    names = ("lightning.pytorch", "pytorch_lightning")
    for name in sorted(names, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise LandscapeError("the callback needs Lightning; pip install lightning")
