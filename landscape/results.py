"""Results: frozen dataclasses of NumPy arrays, each with the attributes that let a stranger repeat it.

Everything here is plain NumPy, so that opening a plot never loads torch. Axis order is ``[split, y, x]`` everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Attributes: TypeAlias = Mapping[str, Any]  # JSON-able; see docs of each result for the keys that figures use

POINT = np.dtype(
    [
        ("alpha", "f8"),
        ("beta", "f8"),  # 0 on lines
        ("split", "i2"),  # index into `splits`
        ("metric", "i2"),  # index into `metrics`
        ("value", "f8"),  # mean over the examples
        ("stderr", "f8"),  # standard error of that mean over the examples
        ("n", "i8"),  # number of examples
        ("level", "i2"),  # 0: the value reported; 1, 2, ...: the evidence of an estimate, see `Sampled`
    ]
)
BOUNDED_POINT = np.dtype([("bound" if name == "stderr" else name, POINT[name]) for name in POINT.names or ()])


class Over:
    """Names of a field's dimensions in files: `eigenvalues: Annotated[Floats, Over("eigenpair")]` is (K,).

    A mapping of arrays has the dimension of all of them, and a tuple of dataclasses that of its entries.
    """

    def __init__(self, *dimensions: str) -> None:
        self.dimensions = dimensions


class Labels(Over):
    """Name of the dimension that a field labels, and under which it is stored."""


class Result(Protocol):
    """Contract of a result: a frozen dataclass with the name of its kind and JSON-able attributes."""

    kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def attributes(self) -> Attributes:
        """Settings, origin and cost of the measurement."""

    @property
    def finished(self) -> bool:
        """False for a measurement that was stopped and is to be resumed."""


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Measured:
    """Base of all kinds of results.

    Attributes:
        finished: False from the first point of a measurement until everything that is derived from its points is
            stored with them; a measurement that was stopped in between is resumed.
    """

    finished: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class Sampled(Measured):
    """Values of metrics at points of a plane or a line: a table, and dense grids as views of it.

    The table (`points`, dtype `POINT`) is the truth; it may hold points off the regular axes (regions of interest,
    refinements) and several fidelity levels. `grid` shows the points of one level that lie on the axes. Level 0 is what
    is reported: measured on all the examples or, on a surface with a tolerance, estimated from the levels above it,
    which are measured: level 1 on all the examples, level 2 and higher on ever smaller nested subsets.
    """

    kind: ClassVar[str]
    point: ClassVar[np.dtype[Any]] = POINT  # a row of `points`
    error: ClassVar[str] = "stderr"  # the column with the uncertainty of `value`
    alpha: Floats  # (X,) ascending coordinates along the first direction
    splits: tuple[str, ...]
    metrics: tuple[str, ...]  # "loss" first, "accuracy" for classification, then the user's; or those of a map
    points: NDArray[Any]  # (P,) of dtype `point`
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
        """Return a mask, (Y, X) or (X,), of the points with all splits and metrics; NaN and inf there are results."""
        count = np.zeros(self.shape, dtype=np.int64)
        chosen = self.points[self.points["level"] == level]
        np.add.at(count, self._cells(chosen)[1], 1)
        return np.equal(count, len(self.splits) * len(self.metrics))

    @property
    def complete(self) -> bool:
        """True if every point of the axes has been measured, and everything derived from the points is there."""
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


@dataclass(frozen=True)
class TrajectoryResult(Measured):
    """A path through weight space seen on a plane: a training trajectory on its PCA plane, or a curve between minima.

    It is drawn on every surface whose `attributes["directions"]["hashes"]` are its own.
    """

    kind: ClassVar[str] = "trajectory"
    alpha: Annotated[Floats, Over("position")]  # (T,) coordinate along the plane's first direction
    beta: Annotated[Floats, Over("position")]  # (T,) along the second
    position: Annotated[Floats, Labels("position")]  # (T,) ascending: epochs, or t; see `attributes["position"]`
    residuals: Annotated[Floats, Over("position")]  # (T,) distance in weight space from the plane
    distances: Annotated[Floats, Over("position")]  # (T,) distance in weight space from the plane's origin
    explained: Annotated[Floats, Over("component")]  # (C,) shares of the variance, descending; empty for a curve
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class SpectrumResult(Measured):
    """Eigenvalues from both ends of a curvature operator, each with the evidence for it."""

    kind: ClassVar[str] = "spectrum"
    eigenvalues: Annotated[Floats, Over("eigenpair")]  # (K,) descending: the top ones first, then the bottom ones
    ends: Annotated[NDArray[np.int8], Over("eigenpair")]  # (K,) +1 for the top end, −1 for the bottom end
    residuals: Annotated[Floats, Over("eigenpair")]  # (K,) ‖Hv − λv‖ with ‖v‖ = 1
    bounds: Annotated[Floats, Over("eigenpair")]  # (K,) on |λ − an exact eigenvalue|; see `attributes["bound"]`
    converged: Annotated[NDArray[np.bool_], Over("eigenpair")]  # (K,) bound ≤ tolerance · scale
    products: int  # operator-vector products used
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class DensityResult(Measured):
    """Spectral density of a curvature operator by stochastic Lanczos quadrature; it integrates to 1."""

    kind: ClassVar[str] = "density"
    eigenvalue: Annotated[Floats, Labels("eigenvalue")]  # (G,) ascending grid of the real line
    density: Annotated[Floats, Over("eigenvalue")]  # (G,) mean over the starting vectors
    stderr: Annotated[Floats, Over("eigenvalue")]  # (G,) standard error of that mean; NaN for one vector
    nodes: Annotated[Floats, Over("vector", "node")]  # (V, m) Ritz values of each starting vector
    weights: Annotated[Floats, Over("vector", "node")]  # (V, m) their weights, each row summing to 1
    sigma: float  # width of the Gaussian each Ritz value is smeared with: curves of other widths do not compare
    products: int  # operator-vector products used
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class LayersResult(Measured):
    """Curvature of each layer's own diagonal block, in the order of the network."""

    kind: ClassVar[str] = "layers"
    names: Annotated[tuple[str, ...], Labels("layer")]  # (L,)
    parameters: Annotated[NDArray[np.int64], Over("layer")]  # (L,) number of parameters
    top: Annotated[Floats, Over("layer")]  # (L,) largest eigenvalue of the block
    bounds: Annotated[Floats, Over("layer")]  # (L,) bound on its error
    converged: Annotated[NDArray[np.bool_], Over("layer")]  # (L,)
    trace: Annotated[Floats, Over("layer")]  # (L,)
    trace_stderr: Annotated[Floats, Over("layer")]  # (L,)
    products: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class MeasureResult:
    """One sharpness number with what is needed to defend it.

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


@dataclass(frozen=True)
class HistoryResult(Measured):
    """Training curves: one column per quantity, one row per epoch.

    Columns: epoch, train_loss, train_accuracy, test_loss, test_accuracy (un-augmented, evaluation mode; test ones only
    where there is a test split), learning_rate, gradient_evaluations (examples × gradients so far), seconds (so far).
    """

    kind: ClassVar[str] = "history"
    columns: Annotated[Mapping[str, Floats], Over("epoch")]  # each (E,)
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class DynamicsResult(Measured):
    """Sharpness, losses and other quantities along a training run, each with its error.

    Quantities are "lambda_max", "lambda_2", ... (largest Hessian eigenvalues), "preconditioned_lambda_max" (of Adam's
    preconditioned Hessian), "edge" (the stability threshold of the optimizer that they compare with), "gradient_norm",
    "learning_rate", "<split>_loss", "<split>_accuracy", "generalization_gap" (test loss − train loss), labels of
    sharpness measures, and those of the monitor's measures.

    >>> run = DynamicsResult(np.arange(3.0), ("lambda_max",), np.array([[1.0, 4.0, 9.0]]), np.full((1, 3), 0.1))
    >>> run.series("lambda_max").tolist(), run.error("lambda_max").tolist()
    ([1.0, 4.0, 9.0], [0.1, 0.1, 0.1])
    """

    kind: ClassVar[str] = "dynamics"
    position: Annotated[Floats, Labels("position")]  # (T,) ascending: epochs or steps; see `attributes["position"]`
    quantities: Annotated[tuple[str, ...], Labels("quantity")]  # (Q,)
    values: Annotated[Floats, Over("quantity", "position")]  # (Q, T) NaN where not measured
    errors: Annotated[Floats, Over("quantity", "position")]  # (Q, T) bounds or standard errors; NaN for none
    attributes: Attributes = field(default_factory=dict)  # `errors`: "bound" or "standard error" of each quantity

    def series(self, quantity: str) -> Floats:
        """Return the values of a quantity, (T,); NaN throughout if the run has none."""
        return self._row(self.values, quantity)

    def error(self, quantity: str) -> Floats:
        """Return the errors of a quantity, (T,); NaN throughout if the run has none."""
        return self._row(self.errors, quantity)

    def _row(self, table: Floats, quantity: str) -> Floats:
        if quantity not in self.quantities:
            return np.full(len(self.position), np.nan)
        row: Floats = table[self.quantities.index(quantity)]
        return row


def with_attributes(result: R, **attributes: Any) -> R:
    """Return the result with further attributes."""
    return replace(result, attributes={**result.attributes, **attributes})


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
