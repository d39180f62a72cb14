"""Step sizes of a checkpoint's run at its snapshots, for its edge of stability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from landscape.analysis.curvature.preconditioned import AdamState
from landscape.analysis.planes.snapshots import Snapshots
from landscape.stats.stability import StepRule
from landscape.training.snapshots import second_moments_path
from landscape.workflow.measurements.snapshots.dynamics import StepSizes
from landscape.workflow.sources.loaded_model import LoadedModel

ADAMS = ("Adam", "AdamW")


def step_sizes_of(model: LoadedModel, snapshots: Snapshots) -> StepSizes | None:
    """Return step sizes at the snapshots of a checkpoint's run; None if its optimizer's edge is not known.

    Those of a SAM run are its base optimizer's.
    """
    checkpoint = model.checkpoint
    if checkpoint is None or (rule := rule_of_training(checkpoint.training)) is None:
        return None
    history = checkpoint.history
    rates = zip(history.get("epoch", ()), history.get("learning_rate", ()), strict=False)
    return StepSizes(rule, {float(epoch): float(rate) for epoch, rate in rates if rate > 0}, _StoredAdam(snapshots))


def rule_of_training(training: Mapping[str, Any]) -> StepRule | None:
    """Return the rule of a run's steps from the settings in its checkpoint; None for another optimizer.

    >>> rule_of_training({"optimizer": "SGD", "momentum": 0.9, "nesterov": True})
    StepRule(method='nesterov', momentum=0.9)
    """
    optimizer = training.get("optimizer")
    if optimizer in ADAMS:
        return StepRule("adam", float((training.get("betas") or (0.9, 0.999))[0]))
    if optimizer == "SGD":
        momentum = float(training.get("momentum") or 0.0)
        return StepRule("nesterov", momentum) if training.get("nesterov") else StepRule(momentum=momentum)
    return None


class _StoredAdam(Mapping[float, AdamState]):
    """Adam's state by epoch, read from the files beside the snapshots when asked for."""

    def __init__(self, snapshots: Snapshots) -> None:
        candidates = {
            position: second_moments_path(path)
            for position, path in zip(snapshots.positions, snapshots.paths, strict=True)
        }
        self._paths = {position: path for position, path in candidates.items() if _is_readable(path)}

    def __getitem__(self, position: float) -> AdamState:
        with safe_open(self._paths[position], framework="pt") as file:
            moments = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            settings = file.metadata()
        betas = float(settings["beta1"]), float(settings["beta2"])
        return AdamState(moments, int(settings["step"]), betas, float(settings["eps"]))

    def __iter__(self) -> Iterator[float]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _is_readable(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return {"step", "beta1", "beta2", "eps"} <= (file.metadata() or {}).keys()
    except (SafetensorError, OSError):
        return False
