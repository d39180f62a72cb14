"""Grids of a surface by metric and split, their names, colours and scales, and the marked points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from landscape.errors import LandscapeError
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale, choose_scale
from landscape.results import Floats, SampledPlane
from landscape.stats.number_format import number

GAP = "gap"  # the pseudo-split test − train (for accuracy train − test): what is lost by generalizing
ERROR = "error"  # the pseudo-metric 1 − accuracy
FRACTIONS = ("accuracy", ERROR)


def metrics_of(surface: SampledPlane) -> tuple[str, ...]:
    """Return the metrics that can be drawn: those measured, and the error where the accuracy was."""
    derived = "accuracy" in surface.metrics and ERROR not in surface.metrics
    return (*surface.metrics, ERROR) if derived else surface.metrics


def splits_of(surface: SampledPlane) -> tuple[str, ...]:
    """Return the splits that can be drawn, the generalization gap among them where train and test were measured."""
    return (*surface.splits, GAP) if {"train", "test"} <= set(surface.splits) else surface.splits


def values(surface: SampledPlane, metric: str, split: str) -> Floats:
    """Return the (Y, X) grid of a metric on a split or of its gap; NaN where it was not computed."""
    if metric not in metrics_of(surface):
        raise LandscapeError(f"expected a metric among {', '.join(metrics_of(surface))}, got {metric!r}")
    if split not in splits_of(surface):
        raise LandscapeError(f"expected a split among {', '.join(splits_of(surface))}, got {split!r}")
    derived = metric == ERROR and ERROR not in surface.metrics
    measured = 1 - surface.grid("accuracy") if derived else surface.grid(metric)
    grid: dict[str, Floats] = dict(zip(surface.splits, measured, strict=True))
    if split in grid:
        return grid[split]
    lost, kept = ("train", "test") if metric == "accuracy" else ("test", "train")
    with np.errstate(invalid="ignore"):
        return np.asarray(grid[lost] - grid[kept])


def scale_of(
    arrays: Sequence[Floats], metric: str, split: str, *, log: bool | None = None, clip: float | None = None
) -> Scale:
    """Return the scale on which grids of one metric and split are drawn together."""
    fraction = metric in FRACTIONS
    return choose_scale(
        arrays,
        log=False if fraction else log,
        clip=clip,
        automatic=metric == "loss",
        signed=split == GAP,
        percent=fraction,
    )


def colours(metric: str, split: str) -> theme.Colorscale:
    """Return the colour scale of a metric on a split; dark is good, and gaps diverge from zero."""
    if split == GAP:
        return theme.DIVERGING
    return theme.REVERSED if metric == "accuracy" else theme.SEQUENTIAL


def name(metric: str, split: str, *, log: bool = False) -> str:
    """Return the name of a quantity: "train loss (log scale)"."""
    quantity = metric.replace("_", " ")
    text = f"{quantity} gap" if split == GAP else f"{split} {quantity}"
    return f"{text} (log scale)" if log else text


def columns(surface: SampledPlane) -> list[tuple[str, str]]:
    """Return (metric, split) of each number that hovering tells, in the order of `details`."""
    return [(metric, split) for metric in surface.metrics for split in surface.splits]


def details(surface: SampledPlane) -> Floats:
    """Return all measured grids as (Y, X, M·S): what hovering over a point tells."""
    grids = np.concatenate([surface.grid(metric) for metric in surface.metrics])
    return np.moveaxis(grids, 0, -1)


def hover(surface: SampledPlane) -> str:
    """Return the template of what hovering tells: the coordinates and every number measured there."""
    lines = ["α %{x:.3f}, β %{y:.3f}"]
    for index, (metric, split) in enumerate(columns(surface)):
        form = ".2%" if metric in FRACTIONS else ".4g"
        lines.append(f"{theme.text(name(metric, split))} <b>%{{customdata[{index}]:{form}}}</b>")
    return "<br>".join(lines) + "<extra></extra>"


def centre(surface: SampledPlane) -> tuple[int, int] | None:
    """Return the grid index [y, x] of α = β = 0, where the checkpoint is."""
    zeros = np.flatnonzero(surface.beta == 0), np.flatnonzero(surface.alpha == 0)
    return (int(zeros[0][0]), int(zeros[1][0])) if len(zeros[0]) and len(zeros[1]) else None


def best(array: Floats, metric: str) -> tuple[int, int] | None:
    """Return the grid index [y, x] of the lowest value (of the highest accuracy)."""
    finite = np.where(np.isfinite(array), -array if metric == "accuracy" else array, np.inf)
    index = int(np.argmin(finite))
    return divmod(index, array.shape[1]) if np.isfinite(finite.flat[index]) else None


@dataclass(frozen=True)
class Mark:
    """A marked point of a plane."""

    role: str  # "origin", "best" or "mark"
    text: str
    symbol: str
    alpha: float
    beta: float


def marks(surface: SampledPlane, array: Floats, metric: str) -> list[Mark]:
    """Return the marks: the origin, the best grid point if it is another, and the checkpoints on the plane."""
    origin, extreme = centre(surface), best(array, metric)
    shown = [] if origin is None else [Mark("origin", origin_name(surface), "circle", 0.0, 0.0)]
    if extreme is not None and extreme != origin:
        y, x = extreme
        word = "highest" if metric == "accuracy" else "lowest"
        point = float(surface.alpha[x]), float(surface.beta[y])
        shown.append(Mark("best", f"{word} on the grid", "diamond", *point))
    return shown + checkpoints(surface)


def checkpoints(surface: SampledPlane) -> list[Mark]:
    """Return the checkpoints that lie on the plane beside its origin."""
    return [mark for mark in _told(surface) if (mark.alpha, mark.beta) != (0, 0)]


def _told(surface: SampledPlane) -> list[Mark]:
    """Return the marks among the attributes."""
    return [
        Mark("mark", str(entry.get("label", "")), "square", float(entry["alpha"]), float(entry["beta"]))
        for entry in surface.attributes.get("marks") or ()
        if isinstance(entry, Mapping) and {"alpha", "beta"} <= entry.keys()
    ]


def origin_name(surface: SampledPlane) -> str:
    """Return the name of the point α = β = 0: the checkpoint, by its label if the plane holds others too."""
    marked = _told(surface)
    named = [mark.text for mark in marked if (mark.alpha, mark.beta) == (0, 0)]
    labels = [str(entry.get("label", "")) for entry in surface.attributes.get("checkpoints") or ()]
    return next(iter([*named, *(labels if marked else [])]), "the checkpoint")


def height_at(surface: SampledPlane, heights: Floats, alpha: float, beta: float) -> float:
    """Return the height at any place of a plane, linear between the grid points around it; NaN beyond the grid."""
    y, v = _between(surface.beta, beta)
    x, u = _between(surface.alpha, alpha)
    if y < 0 or x < 0:
        return float("nan")
    rows = heights[y], heights[min(y + 1, len(heights) - 1)]
    low, high = ((1 - u) * row[x] + (u * row[x + 1] if u else 0.0) for row in rows)
    return float((1 - v) * low + (v * high if v else 0.0))


def _between(axis: Floats, coordinate: float) -> tuple[int, float]:
    """Return the axis' entry at or below a place and the share of the way to the next; −1 beyond its ends."""
    if not axis[0] <= coordinate <= axis[-1]:
        return -1, 0.0
    index = int(np.searchsorted(axis, coordinate, side="right")) - 1
    if index == len(axis) - 1:
        return index, 0.0
    return index, float((coordinate - axis[index]) / (axis[index + 1] - axis[index]))


def extent(surfaces: Iterable[SampledPlane]) -> tuple[list[float], list[float]]:
    """Return the ranges of α and β that show all surfaces whole."""
    corners = [(s.alpha[0], s.beta[0], s.alpha[-1], s.beta[-1]) for s in surfaces]
    left, below, right, above = (np.array(ends, dtype=np.float64) for ends in zip(*corners, strict=True))
    return [float(left.min()), float(right.max())], [float(below.min()), float(above.max())]


def axis_names(surface: SampledPlane) -> tuple[str, str]:
    """Return the names of the plane's axes: α and β, with the eigenvalues of eigenvector directions."""
    directions = surface.attributes.get("directions") or {}
    shares = directions.get("explained") or ()
    if len(shares) >= 2:
        first, second = (f"PC {i + 1} ({number(100 * float(share), 3)}% of the variance)" for i, share in _two(shares))
        return first, second
    parts = [part if isinstance(part, Mapping) else {} for part in directions.get("parts") or ()]
    if len(parts) == 2:
        first, second = (_along(letter, part) for letter, part in zip("αβ", parts, strict=True))
        return first, second
    return "α", "β"


def _along(letter: str, part: Mapping[str, object]) -> str:
    """Return "α, eigenvector of λ = 41.2" for an axis along one, and the kind of the other axis of a mixed plane."""
    value = part.get("eigenvalue")
    if isinstance(value, int | float):
        return f"{letter}, eigenvector of λ = {number(float(value), 4)}"
    kind = str(part.get("kind") or "")
    return f"{letter}, {kind} direction" if kind else letter


def _two(pair: Sequence[float]) -> list[tuple[int, float]]:
    return [(0, pair[0]), (1, pair[1])]
