"""Precision, batch size and processes that the points of a surface are evaluated with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from landscape.analysis.objective.autotune.batch_size import choose_batch_size
from landscape.analysis.objective.autotune.precision_policy import PrecisionChoice, choose_precision
from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.planes import Plane
from landscape.execution import Workers


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings that two runs must share to give the same bits; a resumed run takes those of the first."""

    precision: Precision
    precision_error: float | None  # largest relative error of the loss at the probe points; None if not measured
    batch_size: int
    images_per_second: float | None = None  # as measured, for an estimate of the time
    threads: int | None = None  # of each process; None: those of this process, divided among the workers

    @classmethod
    def recorded(cls, attributes: Mapping[str, Any]) -> EvaluationSettings:
        """Return the settings in the attributes of a surface."""
        a = attributes
        return cls(a["precision"], a["precision_error"], a["batch_size"], threads=int(a["threads"]))


@dataclass(frozen=True)
class Evaluation:
    """Precision and processes that the points of a surface are evaluated with.

    >>> Evaluation(precision="float32", workers=2).precision_tolerance
    0.01

    Args:
        precision: of the forward passes; "auto" takes bfloat16 if it is measured to be faster and accurate enough.
        precision_tolerance: largest relative error of the loss, at probe points of the grid, that "auto" accepts.
        workers: processes that share the points, on CUDA one per GPU, or the result of `landscape.execution.open`; the
            values do not depend on them.
        settings: precision, batch size and threads of another surface, to make several comparable.
    """

    precision: Precision | Literal["auto"] = "auto"
    precision_tolerance: float = 0.01
    workers: int | Workers = 1
    settings: EvaluationSettings | None = None


def choose_settings(
    objective: Objective,
    plane: Plane,
    points: Iterable[tuple[float, float]],
    evaluation: Evaluation,
    *,
    known: Precision | None = None,
) -> EvaluationSettings:
    """Choose the batch size, and the precision if it is "auto", by measurement.

    Args:
        objective: loss, weights and data.
        plane: line, plane or curve to evaluate on.
        points: (α, β) at which precisions are compared.
        evaluation: the precision, or the tolerance of an automatic choice.
        known: precision of comparable results, which "auto" adopts if it is accurate enough.
    """
    if evaluation.precision == "auto":
        weights = [(plane.at(a, b), plane.buffers_at(a, b)) for a, b in points]
        tolerance = evaluation.precision_tolerance
        choice = choose_precision(objective, weights, tolerance=tolerance, splits=objective.splits, known=known)
    else:
        choice = PrecisionChoice(evaluation.precision, None)
    size, rate = choose_batch_size(objective, choice.precision)
    return EvaluationSettings(choice.precision, choice.error, size, rate)
