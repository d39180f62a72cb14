"""What a sharpness measure comes back as: the number, and the evidence for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from landscape.results import Attributes, Floats, Measure
from landscape.stats.grouped_mean import group_means

OnStep: TypeAlias = Callable[[str], None]  # called with the measure's name after each evaluation, of a subset too


class Cost(NamedTuple):
    """What a measure takes, in examples: passes forward, gradients, and products with the Hessian."""

    forwards: float = 0.0
    gradients: float = 0.0
    products: float = 0.0


@dataclass(frozen=True)
class Finding(Measure):
    """A measure with its evidence: what was found on the way, and the values that its mean is over.

    `evidence` has some of: "units", values whose mean is the measure's (each a mean over `unit`s: "examples", "subsets"
    or "pairs", of `count` in all), so that the difference of two checkpoints gets the standard error of a paired one;
    "rounding", the difference of losses in float32 against float64; "gradient_norm", "starts", "bound", "seconds".
    """

    evidence: Attributes = field(default_factory=dict)

    def timed(self, seconds: float) -> Finding:
        """Return the same with the seconds it took."""
        return dataclasses.replace(self, evidence={**self.evidence, "seconds": seconds})

    @property
    def measure(self) -> Measure:
        """The number alone, as it is stored."""
        return Measure(**{entry.name: getattr(self, entry.name) for entry in dataclasses.fields(Measure)})


def units_of(values: Floats, unit: str) -> dict[str, Any]:
    """Return the evidence of a mean over values, (N,): the `group_means` that pairing two checkpoints needs."""
    return {"unit": unit, "count": len(values), "units": [float(f"{value:.9g}") for value in group_means(values)]}


def jsonable_norm(p: float) -> float | str:
    """Return the order of a norm as JSON has it: infinity is no JSON number."""
    return "inf" if np.isinf(p) else int(p) if p == int(p) else p


def label_of(what: str, *details: str) -> str:
    """Return a label for people: what it is, then the details that are not empty."""
    return ", ".join([what, *(detail for detail in details if detail)])


def over_subsets(count: int, size: int) -> str:
    """Return words for a mean over subsets."""
    return f"mean over {count} random subsets of {size} examples" if count > 1 else f"on one subset of {size} examples"


def norm_detail(p: float) -> str:
    """Return how a label names the norm; nothing for p = 2."""
    return "" if p == 2 else "p = ∞" if np.isinf(p) else f"p = {p:g}"


def evidence_of(findings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are not None."""
    return {name: value for name, value in findings.items() if value is not None}
