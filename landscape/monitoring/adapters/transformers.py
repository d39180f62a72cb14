"""The monitor as a callback of the Trainer of Hugging Face Transformers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.monitoring.monitor import Monitor

PREFIX = "landscape/"  # of the names in the logs


def add_to_trainer(trainer: Any, monitor: Monitor) -> Any:
    """Add a callback to a `transformers.Trainer` that probes its run after optimizer steps, and return it.

    The scalars go through `trainer.log`, and so to TensorBoard, W&B or whatever `report_to` names, as
    `landscape/<quantity>`. In a distributed run the main process measures; models that are sharded over processes
    (FSDP, DeepSpeed ZeRO-3) are not supported.

    Args:
        trainer: before `trainer.train()`.
        monitor: whose objective was made with the trainer's model.

    Raises:
        LandscapeError: if `transformers` is not installed.
    """
    try:
        base: Any = importlib.import_module("transformers").TrainerCallback
    except ImportError as error:
        raise LandscapeError("the callback needs Transformers; pip install transformers accelerate") from error

    class TransformersMonitor(base):  # type: ignore[misc]
        """Probes after each optimizer step, before the schedule changes the step size."""

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
            """Probe the run and log what was measured."""
            if not state.is_world_process_zero:
                return
            readings = monitor.step(int(state.global_step) + 1, objects["model"], objects["optimizer"])
            if readings:
                trainer.log({f"{PREFIX}{name}": value for name, value in readings.items()})

    callback = TransformersMonitor()
    trainer.add_callback(callback)
    return callback
