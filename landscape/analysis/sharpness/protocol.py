"""The protocol of a sharpness measure: a new one is one class, here or in a user's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeGuard, runtime_checkable

from landscape.analysis.objective.objective import Objective
from landscape.results import MeasureResult, Result

OnStep: TypeAlias = Callable[[str], None]  # called with the measure's name after each evaluation, of a subset too


class Cost(NamedTuple):
    """Work of a measure, counted in examples: forward passes, gradients, and products with the Hessian."""

    forwards: float = 0.0
    gradients: float = 0.0
    products: float = 0.0


class SharpnessMeasure(Protocol):
    """A frozen dataclass of options that measures one number."""

    @property
    def name(self) -> str:
        """Short name of the kind, such as "sam"."""

    @property
    def label(self) -> str:
        """Title that tells measures of one result apart, such as "SAM sharpness, ρ = 0.05"."""

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the parameters that repeat the measure, JSON-able."""

    def cost(self, examples: int, radii: int = 1) -> Cost:
        """Return the passes and products it takes on so many examples."""

    def measure(self, objective: Objective, *, seed: int = 0, on_step: OnStep | None = None) -> MeasureResult:
        """Return the number with its diagnostics; `on_step` is called after each evaluation with the measure's name."""


@runtime_checkable
class RadiusMeasure(SharpnessMeasure, Protocol):
    """A measure with a radius ρ; those that differ only in ρ make a curve and share work."""

    @property
    def rho(self) -> float:
        """The radius."""

    def curve(
        self,
        objective: Objective,
        radii: Sequence[float],
        *,
        seed: int = 0,
        on_step: OnStep | None = None,
        resumed: bool = False,
    ) -> Iterator[MeasureResult]:
        """Yield the measure at each radius; `resumed` if earlier radii of the curve were measured before."""


@runtime_checkable
class StoredMeasure(SharpnessMeasure, Protocol):
    """A measure that another kind of result may already hold."""

    def from_stored(self, result: Result, seed: int) -> MeasureResult | None:
        """Return the number that a stored result holds; None if it holds none that is good enough."""


def has_radius(measure: SharpnessMeasure) -> TypeGuard[RadiusMeasure]:
    """Return True if a measure has a radius, and so a curve over radii."""
    return isinstance(measure, RadiusMeasure)
