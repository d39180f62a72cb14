"""Surfaces and lines ⇄ HDF5 groups: dense grids, and a table of the points that are not on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.results import Sampled
from landscape.storage.hdf5_arrays import Group, dataset, scale


@dataclass(frozen=True)
class SampledLayout:
    """Layout of a subclass of `Sampled`, whose axes are `alpha` and, on planes, `beta`."""

    result: type[Any]
    attribute_names: tuple[str, ...] = ("metrics",)

    def write(self, group: Group, result: Sampled) -> None:
        """Write the axes, the grids of level 0, and a table of the other points."""
        _check_metrics(result.metrics, result.error)
        scale(group, "split", list(result.splits), "split of the data")
        dimensions = ["split", "x"]
        if has_beta(self.result):
            scale(group, "y", _beta(result), "β, coordinate along the second direction")
            dimensions = ["split", "y", "x"]
        scale(group, "x", result.alpha, "α, coordinate along the first direction")
        is_mean = result.error == "stderr"
        texts = ("mean over the examples", "standard error of the mean") if is_mean else ("", "bound on the error")
        for metric in result.metrics:
            dataset(group, metric, result.grid(metric), dimensions, texts[0])
            errors = result.grid(metric, column=result.error)
            dataset(group, f"{metric}_{result.error}", errors, dimensions, texts[1])
        counts = {metric: np.nan_to_num(result.grid(metric, column="n")).astype(np.int64) for metric in result.metrics}
        common = counts[result.metrics[0]]
        dataset(group, "n", common, dimensions, "number of examples; 0 where not computed")
        for metric, count in counts.items():
            if not np.array_equal(count, common):
                dataset(group, f"{metric}_n", count, dimensions, f"number of examples of {metric}")
        dataset(group, "computed", result.computed(), dimensions[1:], "NaN and inf where this is true are results")
        group.attrs["metrics"] = list(result.metrics)
        others = _points_off_grids(result)
        if len(others):
            table = group.create_group("points")
            scale(table, "point", np.arange(len(others)))
            for column in result.point.names or ():
                dataset(table, column, others[column], ["point"])

    def read(self, group: Group, attributes: Mapping[str, Any]) -> Any:
        """Return the result that a group holds."""
        alpha, splits = group["x"][()], tuple(group["split"].asstr()[()])
        axes = {"alpha": alpha} | ({"beta": group["y"][()]} if has_beta(self.result) else {})
        beta = axes.get("beta", np.zeros(1))
        metrics = tuple(str(metric) for metric in group.attrs["metrics"])
        computed = group["computed"][()].astype(bool).reshape(len(beta), len(alpha))
        y, x = np.nonzero(computed)
        shape = (len(splits), len(beta), len(alpha))
        parts = []
        for s in range(len(splits)):
            for m, metric in enumerate(metrics):
                part = np.zeros(len(x), dtype=self.result.point)
                part["alpha"], part["beta"], part["split"], part["metric"] = alpha[x], beta[y], s, m
                columns = {"value": metric, self.result.error: f"{metric}_{self.result.error}"}
                columns["n"] = f"{metric}_n" if f"{metric}_n" in group else "n"
                for column, stored in columns.items():
                    part[column] = group[stored][()].reshape(shape)[s, y, x]
                parts.append(part)
        if "points" in group:
            others = np.zeros(len(group["points/point"]), dtype=self.result.point)
            for column in others.dtype.names or ():
                others[column] = group["points"][column][()]
            parts.append(others)
        fields = {**axes, "splits": splits, "metrics": metrics, "points": np.concatenate(parts)}
        return self.result(**fields, attributes=attributes)

    def summary(self, result: Sampled) -> str:
        """Return the size of the grid, and how much of it is missing: "51x51 points, 17 of them computed"."""
        shape = "x".join(str(size) for size in reversed(result.shape))
        computed = result.computed()
        missing = ", not finished" if computed.all() else f", {int(computed.sum())} of them computed"
        return f"{shape} points" + ("" if result.complete else missing)


def has_beta(kind: type[Any]) -> bool:
    """Return True if results of this class lie on a plane rather than a line."""
    return any(field.name == "beta" for field in dataclasses.fields(kind))


def _beta(result: Sampled) -> NDArray[np.float64]:
    beta: NDArray[np.float64] = getattr(result, "beta", np.zeros(1))
    return beta


def _points_off_grids(result: Sampled) -> NDArray[Any]:
    """Return the points that the grids do not give back: off the axes, of other levels, of cells not yet complete."""
    beta = _beta(result)
    points, cells = result.points, result.computed().reshape(len(beta), -1)
    x = np.minimum(np.searchsorted(result.alpha, points["alpha"]), len(result.alpha) - 1)
    y = np.minimum(np.searchsorted(beta, points["beta"]), len(beta) - 1)
    on_axes = (result.alpha[x] == points["alpha"]) & (beta[y] == points["beta"])
    others: NDArray[Any] = points[~(on_axes & cells[y, x] & (points["level"] == 0))]
    return others


def _check_metrics(metrics: Sequence[str], error: str) -> None:
    """Refuse metrics whose arrays would have the names of others.

    Raises:
        LandscapeError: if two arrays would have one name.
    """
    names = [f"{metric}{suffix}" for metric in metrics for suffix in ("", f"_{error}", "_n")]
    taken = {"x", "y", "split", "n", "computed", "points", ".", ""}
    clash = next((name for i, name in enumerate(names) if name in taken or name in names[:i] or "/" in name), None)
    if clash is not None:
        raise LandscapeError(f"a metric cannot be stored under the name {clash!r}; give it another name")
