"""Surfaces as heights over a plane, on the scale of the figures: the geometry of every mesh format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.figures.plots.surfaces import grids
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale
from landscape.results import Floats, SampledPlane


@dataclass(frozen=True)
class Relief:
    """Heights over a plane, as shares of its longer side; NaN where nothing was computed or the value is no number."""

    x: Floats  # (X,) α as a share of the longer side, from 0
    y: Floats  # (Y,) β likewise
    height: Floats  # (Y, X) from 0 to the relief's full height
    share: Floats  # (Y, X) where the value lies on the colour scale, 0 to 1
    colours: theme.Colorscale
    text: str  # quantity and range of the heights, points cut off, holes
    values: Floats  # (Y, X) as measured

    @property
    def holes(self) -> NDArray[np.bool_]:
        """Mask of the grid points without a height, (Y, X)."""
        return np.isnan(self.height)


def reliefs(
    surfaces: Mapping[str, SampledPlane],
    *,
    metric: str | None = None,
    split: str | None = None,
    log: bool | None = None,
    clip: float | None = None,
    tall: float = 0.5,
) -> dict[str, Relief]:
    """Return surfaces as reliefs on one common scale.

    Args:
        surfaces: The surfaces by label.
        metric: Metric of the heights; the first surface's first metric by default.
        split: Split, or "gap" (test − train); the first by default.
        log: Logarithmic heights; by default if the values span a factor of 30 or more.
        clip: Largest value shown; higher ones (inf too) are drawn at its height.
        tall: The full height as a share of the plane's longer side.

    Raises:
        LandscapeError: There is no surface, or one has fewer than 2 × 2 points.
    """
    if not surfaces:
        raise LandscapeError("expected at least one surface, got none")
    thin = [label for label, surface in surfaces.items() if min(surface.shape) < 2]
    if thin:
        raise LandscapeError(f"a relief needs at least 2 x 2 points; {thin[0]} has fewer")
    first = next(iter(surfaces.values()))
    metric, split = metric or first.metrics[0], split or first.splits[0]
    arrays = {label: grids.values(surface, metric, split) for label, surface in surfaces.items()}
    scale = grids.scale_of(list(arrays.values()), metric, split, log=log, clip=clip)
    quantity = grids.name(metric, split, log=scale.log)
    return {
        label: _relief(surfaces[label], array, scale, tall, quantity, grids.colours(metric, split))
        for label, array in arrays.items()
    }


def _relief(
    surface: SampledPlane, array: Floats, scale: Scale, tall: float, quantity: str, colours: theme.Colorscale
) -> Relief:
    side = max(float(np.ptp(surface.alpha)), float(np.ptp(surface.beta)))
    share = np.clip((scale.heights(array) - scale.bottom) / (scale.top - scale.bottom), 0, 1)
    low, high = (f"{scale.value(end):.4g}" for end in (scale.bottom, scale.top))
    summary = f"{quantity} from {low} to {high}"
    holes = int(np.isnan(array).sum())
    notes = [
        scale.note([array]),
        f"{holes:,} of {array.size:,} points are not computed or no number: holes." if holes else "",
    ]
    return Relief(
        x=(surface.alpha - surface.alpha[0]) / side,
        y=(surface.beta - surface.beta[0]) / side,
        height=tall * share,
        share=share,
        colours=colours,
        text=" ".join(filter(None, (f"{summary}.", *notes))),
        values=array,
    )
