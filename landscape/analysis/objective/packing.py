"""An objective as parts that can be pickled, to make it again in another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landscape.analysis.objective.data.nested import map_tensors
from landscape.analysis.objective.model.model_copy import deep_copy
from landscape.analysis.objective.objective import Objective


@dataclass(frozen=True)
class PackedObjective:
    """Arguments of an objective, on the CPU."""

    arguments: Mapping[str, Any]

    def unpack(self, device: str) -> Objective:
        """Return the objective on a device."""
        return Objective(**{**self.arguments, "device": device})


def pack_objective(objective: Objective) -> PackedObjective:
    """Return the arguments that make an objective again; its data are those that it was made of."""
    return PackedObjective(
        {
            "model": deep_copy(objective.network.module).cpu(),
            "loss": objective.given_loss,
            "data": {split: objective.source(split) for split in objective.splits},
            "metrics": objective.user_metrics,
            "params": objective.params,
            "batchnorm": objective.batchnorm,
            "calibration_examples": objective.calibration_examples,
            "calibration": map_tensors(lambda t: t.cpu(), objective.calibration),
            "precision": objective.precision,
            "batch_size": objective.batch_size,
            "preprocess": next(iter(objective.data.values())).preprocess,
            "fold": objective.is_folded,
        }
    )
