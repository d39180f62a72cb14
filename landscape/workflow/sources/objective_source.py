"""An objective of a Python program as the source of measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import tensors
from landscape.analysis.objective.losses import Metric
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import digest
from landscape.errors import LandscapeError


class ObjectiveSource:
    """Model, weights and data of an objective.

    Args:
        objective: the loss as a function of the weights.
        label: name of the weights.
    """

    def __init__(self, objective: Objective, label: str) -> None:
        self._objective, self.label = objective, label
        self.code: Mapping[str, str] = {}  # the loss at the centre tells changes of a program's own code

    def identity(self) -> dict[str, Any]:
        """Return hashes of weights and data, and the settings of the loss."""
        objective = self._objective
        return {
            "checkpoint": self._digest(),
            "data": {split: fingerprint(batches) for split, batches in objective.data.items()},
            "splits": list(objective.splits),
            "loss": objective.loss_name,
            "params": objective.params,
            "batchnorm": objective.batchnorm,
            "objective_precision": objective.precision,
            "objective_metrics": list(objective.metrics),
        }

    def attributes(self) -> dict[str, Any]:
        """Return label and hash of the weights, and the class of the model."""
        return {
            "checkpoint": self.label,
            "checkpoints": [{"label": self.label, "sha256": self._digest()}],
            "model": type(self._objective.network.module).__name__,
        }

    def calibration(self, batchnorm: BatchNormMode) -> dict[str, Any]:
        """Return the number of examples that BatchNorm is recalibrated on; empty for other modes."""
        return {"calibration": self._objective.calibration_examples} if batchnorm == "recalibrated" else {}

    def reproduce(self) -> None:
        """Return None: a Python program records no loss."""
        return

    def objective(
        self,
        *,
        first_split: bool = False,
        every_example: bool = False,
        batchnorm: BatchNormMode | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> Objective:
        """Return the objective.

        Raises:
            LandscapeError: for metrics, or another BatchNorm mode, which are the objective's own.
        """
        objective = self._objective
        if metrics:
            raise LandscapeError("metrics are the objective's own; pass them to Objective(metrics=...)")
        if batchnorm is not None and batchnorm != objective.batchnorm:
            raise LandscapeError(
                f"the measurement takes batchnorm={batchnorm!r}, the objective was made with {objective.batchnorm!r}; "
                f"make it with Objective(batchnorm={batchnorm!r}), or pass batchnorm={objective.batchnorm!r} to the "
                "measurement"
            )
        return objective

    def _digest(self) -> str:
        network = self._objective.network
        return digest({**self._objective.origin, **{name: b.float() for name, b in network.buffers.items()}})


def fingerprint(batches: Batches) -> str:
    """Return the SHA-256 of a split's inputs and targets, in their fixed order."""
    sha = hashlib.sha256()
    source = batches.source()
    pairs = [source] if isinstance(source, tuple) else source
    for inputs, targets in pairs:
        for tensor in (*tensors(inputs), *tensors(targets)):
            sha.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
