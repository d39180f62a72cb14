"""Sharpness measures of one checkpoint, and of many against their generalization gap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from landscape.results.base import Attributes, Floats, Labels, Measured, Over


@dataclass(frozen=True)
class MeasureResult:
    """One sharpness number, with its error and diagnostics.

    `diagnostics` has some of: "samples", values whose mean is the measure's (means of groups of `count` values, each of
    one of the `unit`: "examples", "subsets" or "pairs"), by which two checkpoints are paired; "rounding", the error of
    float32 against float64; "bound", on the distance to an exact eigenvalue; "converged", "gradient_norm", "starts",
    "seconds".

    >>> MeasureResult("sam", "SAM sharpness, ρ = 0.05", 0.02, 0.001, "rise of the loss", evaluations=3).value
    0.02
    """

    name: str  # "keskar", "sam", "average", "lambda_max", ...
    label: Annotated[str, Labels("measure")]  # unique in a result: "Keskar ε-sharpness, ε = 0.001"
    value: float
    stderr: float  # NaN if the number has no sampling error of its own
    meaning: str  # "lower bound of the maximum", "one-step value", "mean over 10 antithetic pairs", ...
    evaluations: int  # passes over the examples: losses, gradients and products together
    parameters: Attributes = field(default_factory=dict)  # rho, epsilon, p, seed, restarts, ...
    diagnostics: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class SharpnessResult(Measured):
    """Sharpness measures of one checkpoint on one set of examples."""

    kind: ClassVar[str] = "sharpness"
    measures: Annotated[tuple[MeasureResult, ...], Over("measure")]
    attributes: Attributes = field(default_factory=dict)

    def value(self, label: str) -> float:
        """Return the value of the measure with this label."""
        return next(measure.value for measure in self.measures if measure.label == label)


@dataclass(frozen=True)
class StudyResult(Measured):
    """Sharpness measures of many checkpoints against their generalization gap."""

    kind: ClassVar[str] = "study"
    checkpoints: Annotated[tuple[str, ...], Labels("checkpoint")]  # (C,) labels
    gap: Annotated[Floats, Over("checkpoint")]  # (C,) test loss − train loss
    measures: Annotated[tuple[str, ...], Labels("measure")]  # (M,) labels
    values: Annotated[Floats, Over("measure", "checkpoint")]  # (M, C)
    stderrs: Annotated[Floats, Over("measure", "checkpoint")]  # (M, C) NaN where the measure has none
    tau: Annotated[Floats, Over("measure")]  # (M,) Kendall's τ between the measure and the gap
    tau_low: Annotated[Floats, Over("measure")]  # (M,) 95 % bootstrap interval
    tau_high: Annotated[Floats, Over("measure")]  # (M,)
    attributes: Attributes = field(default_factory=dict)
