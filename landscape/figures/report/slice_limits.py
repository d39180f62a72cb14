"""Limits of a plane in numbers: the curvature along its axes against the steepest, and the angle of its axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landscape.figures.grouping.comparability import listed
from landscape.figures.report.summary import Named, Row
from landscape.results import DensityResult, Result, SpectrumResult, SurfaceResult
from landscape.stats import number_format
from landscape.stats.comparison.difference import Estimate
from landscape.stats.comparison.slice_curvature import axis_curvatures
from landscape.stats.spectra import mean_eigenvalue


@dataclass(frozen=True)
class _Slice:
    label: str
    axes: list[Estimate]  # dᵀHd / ‖d‖² of both
    top: float  # λ_max
    mean: Estimate | None  # trace / n

    @property
    def text(self) -> str:
        along = " and ".join(number_format.uncertain(one.value, one.stderr) for one in self.axes)
        against = f"λ_max is {number_format.number(self.top)}"
        if self.mean is not None:
            against += f" and trace/n {number_format.uncertain(self.mean.value, self.mean.stderr)}"
        return f"{along} for {self.label}, where {against}"


def slice_limits(planes: Mapping[str, SurfaceResult], named: Named, rows: Sequence[Row]) -> list[str]:
    """Return sentences with numbers on what planes along two random directions cannot show; none for other planes.

    The curvature is left out where the file lacks λ_max or where its error exceeds its value.

    Args:
        planes: Surfaces by "<checkpoint label>/<name>".
        named: All results by checkpoint label, then by name.
        rows: The key numbers.
    """
    random = {key: plane for key, plane in planes.items() if _is_random(plane)}
    if not random:
        return []
    slices = [one for key, plane in random.items() if (one := _slice(key, plane, named, rows)) is not None]
    sentences = []
    if slices:
        steeper = [one.top / axis.value for one in slices for axis in one.axes]
        low, high = (f"{float(f'{value:.1g}'):,.0f}" for value in (min(steeper), max(steeper)))
        times = f"{low} to {high}" if low != high else low
        sentences.append(
            "The curvature along the two axes at the checkpoint, dᵀHd/‖d‖² by second differences of this grid, is "
            f"{listed([one.text for one in slices])}: the steepest direction, {times} times as steep, is not in this "
            "picture."
        )
    first = next(iter(random.values())).attributes
    count = first.get("parameters")
    if isinstance(count, int) and count > 1:
        expected = number_format.number(math.sqrt(2 / (math.pi * count)), 2)
        cosines = [
            abs(c) for plane in random.values() if isinstance(c := _directions(plane).get("cosine"), int | float)
        ]
        texts = dict.fromkeys(number_format.number(cosine, 2) for cosine in cosines)
        measured = f"|cos| = {listed(list(texts))} here, " if texts else "|cos| = "
        sentences.append(
            f"Two random directions among {count:,} parameters are nearly perpendicular ({measured}√(2/πn) = "
            f"{expected} expected), to each other and to any direction of interest: another seed shows another slice."
        )
    return sentences


def _slice(key: str, plane: SurfaceResult, named: Named, rows: Sequence[Row]) -> _Slice | None:
    label = key.rpartition("/")[0]
    top = next((row.numbers[label] for row in rows if row.label.startswith("λ_max") and label in row.numbers), None)
    axes = axis_curvatures(plane)
    known = top is not None and axes and all(one.value > one.stderr for one in axes)
    if not known or top is None or plane.attributes.get("batchnorm") not in (None, "fixed"):
        return None
    return _Slice(label, axes, top.value, _mean_curvature(named.get(label, {})))


def _mean_curvature(results: Mapping[str, Result]) -> Estimate | None:
    """Return trace/n of the Hessian, from an estimate of the trace or from a spectral density."""
    for result in results.values():
        if result.attributes.get("operator", "hessian") != "hessian":
            continue
        trace, count = result.attributes.get("trace"), result.attributes.get("parameters")
        if isinstance(result, SpectrumResult) and isinstance(trace, Mapping) and isinstance(count, int):
            return Estimate(float(trace["value"]) / count, float(trace.get("stderr") or math.nan) / count)
        if isinstance(result, DensityResult):
            mean = mean_eigenvalue(result)
            return Estimate(mean.value, mean.stderr)
    return None


def _is_random(plane: SurfaceResult) -> bool:
    return _directions(plane).get("kind") == "random"


def _directions(plane: SurfaceResult) -> Mapping[str, object]:
    return plane.attributes.get("directions") or {}
