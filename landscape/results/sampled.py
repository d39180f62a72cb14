"""Metrics at points of a line or a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from landscape.results.base import Attributes, Floats, Measured

POINT = np.dtype(
    [
        ("alpha", "f8"),
        ("beta", "f8"),  # 0 on lines
        ("split", "i2"),  # index into `splits`
        ("metric", "i2"),  # index into `metrics`
        ("value", "f8"),  # mean over the examples
        ("stderr", "f8"),  # standard error of that mean over the examples
        ("n", "i8"),  # number of examples
        ("level", "i2"),  # 0: reported value; 1, 2, ...: measurements of an estimate, see `Sampled`
    ]
)
BOUNDED_POINT = np.dtype([("bound" if name == "stderr" else name, POINT[name]) for name in POINT.names or ()])


@dataclass(frozen=True)
class Sampled(Measured):
    """Values of metrics at points of a plane or a line: a table, and dense grids as views of it.

    The table may contain points off the axes (regions of interest, refinements) and several fidelity levels. `grid`
    returns the points of one level that lie on the axes. Level 0 is the reported value: measured on all examples or, on
    a surface with a tolerance, estimated from the measured levels 1 (all examples), 2, ... (smaller nested subsets).

    Attributes:
        alpha: (X,) ascending coordinates along the first direction.
        splits: names of the splits.
        metrics: names of the metrics: "loss", "accuracy" for classification, the user's; or those of a map.
        points: (P,) table of dtype `point`.
        attributes: settings, origin and cost, JSON-able.
    """

    kind: ClassVar[str]
    point: ClassVar[np.dtype[Any]] = POINT  # of a row of `points`
    error: ClassVar[str] = "stderr"  # column with the uncertainty of `value`
    alpha: Floats
    splits: tuple[str, ...]
    metrics: tuple[str, ...]
    points: NDArray[Any]
    attributes: Attributes = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid without the split axis: (Y, X), or (X,) for a line."""
        raise NotImplementedError

    def _cells(self, points: NDArray[Any]) -> tuple[NDArray[np.bool_], tuple[NDArray[np.intp], ...]]:
        """Return a mask of the points that lie on the axes, and the grid index of each of those."""
        on_x, x = _locate(self.alpha, points["alpha"])
        return on_x, (x[on_x],)

    def grid(self, metric: str = "loss", *, column: str = "value", level: int = 0) -> Floats:
        """Return `column` ("value", "n" or `error`) of `metric` as (S, Y, X) or (S, X); NaN where not computed."""
        out = np.full((len(self.splits), *self.shape), np.nan)
        chosen = self.points[(self.points["metric"] == self.metrics.index(metric)) & (self.points["level"] == level)]
        on_axes, index = self._cells(chosen)
        out[(chosen["split"][on_axes], *index)] = chosen[column][on_axes]
        return out

    def computed(self, *, level: int = 0) -> NDArray[np.bool_]:
        """Return a (Y, X) or (X,) mask of the points with all splits and metrics, where NaN and inf are results."""
        count = np.zeros(self.shape, dtype=np.int64)
        chosen = self.points[self.points["level"] == level]
        np.add.at(count, self._cells(chosen)[1], 1)
        return np.equal(count, len(self.splits) * len(self.metrics))

    @property
    def complete(self) -> bool:
        """True if all points of the axes are measured and everything derived from them is stored."""
        return self.finished and bool(self.computed().all())


@dataclass(frozen=True)
class LineResult(Sampled):
    """Metrics along a line through weight space, or between two checkpoints (then 0 is the first and 1 the second).

    >>> points = points_table([(0.0, 0.0, 0, 0, 0.5, 0.1, 10, 0)])
    >>> line = LineResult(np.array([-1.0, 0.0, 1.0]), ("train",), ("loss",), points)
    >>> line.grid("loss").tolist(), line.computed().tolist(), line.complete
    ([[nan, 0.5, nan]], [False, True, False], False)
    """

    kind: ClassVar[str] = "line"

    @property
    def shape(self) -> tuple[int, ...]:
        """(X,)."""
        return (len(self.alpha),)


@dataclass(frozen=True)
class SampledPlane(Sampled):
    """Metrics on a plane of weight space."""

    beta: Floats = field(default_factory=lambda: np.zeros(1))  # (Y,) ascending, along the second direction

    @property
    def shape(self) -> tuple[int, ...]:
        """(Y, X)."""
        return (len(self.beta), len(self.alpha))

    def _cells(self, points: NDArray[Any]) -> tuple[NDArray[np.bool_], tuple[NDArray[np.intp], ...]]:
        (on_x, x), (on_y, y) = _locate(self.alpha, points["alpha"]), _locate(self.beta, points["beta"])
        on_axes = on_x & on_y
        return on_axes, (y[on_axes], x[on_axes])


@dataclass(frozen=True)
class SurfaceResult(SampledPlane):
    """Loss, accuracy and other means over the examples on a plane, with their standard errors."""

    kind: ClassVar[str] = "surface"


@dataclass(frozen=True)
class ConvexityResult(SampledPlane):
    """Extreme eigenvalues of the Hessian on a plane, and the ratio of their magnitudes, with bounds.

    The metrics are "convexity", |λ_min / λ_max|, with a bound on its error on either side; "lambda_min" and
    "lambda_max", whose bounds are one-sided: λ_max ∈ [value, value + bound] and λ_min ∈ [value − bound, value]; and
    "products", the Hessian-vector products of the point, without a bound (NaN).
    """

    kind: ClassVar[str] = "convexity"
    point: ClassVar[np.dtype[Any]] = BOUNDED_POINT
    error: ClassVar[str] = "bound"


def points_table(rows: Sequence[tuple[Any, ...]], dtype: np.dtype[Any] = POINT) -> NDArray[Any]:
    """Return rows of (alpha, beta, split, metric, value, stderr or bound, n, level) as a table.

    >>> points_table([(0.0, 0.0, 0, 0, 0.5, 0.01, 100, 0)])["value"].tolist()
    [0.5]
    """
    return np.array(list(rows), dtype=dtype)


def _locate(axis: Floats, values: Floats) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Find each value on an ascending axis, exactly: coordinates are stored, never recomputed."""
    index = np.minimum(np.searchsorted(axis, values), len(axis) - 1)
    return axis[index] == values, index
