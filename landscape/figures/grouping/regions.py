"""Regions of a surface that were measured more finely: each a surface of its own, on its own axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from landscape.results import Floats, SurfaceResult


def regions(surface: SurfaceResult) -> list[SurfaceResult]:
    """Return a surface for each region that points were added to (`attributes["regions"]`), from the same table."""
    surfaces = []
    for region in surface.attributes.get("regions") or ():
        if not isinstance(region, Mapping) or not {"alpha", "beta"} <= region.keys():
            continue
        alpha, beta = (_axis(surface.points[name], region[name]) for name in ("alpha", "beta"))
        if len(alpha) > 1 and len(beta) > 1:
            tolerance = (
                {"tolerance": region["tolerance"]} if "tolerance" in region else {}
            )  # its estimates' error, not theirs
            surfaces.append(replace(surface, alpha=alpha, beta=beta, attributes={**surface.attributes, **tolerance}))
    return surfaces


def _axis(coordinates: Floats, limits: Any) -> Floats:
    """Return the coordinates in the table that make up an axis told as first, last and number of points."""
    first, last, count = float(limits[0]), float(limits[1]), int(limits[2])
    known = np.unique(coordinates)
    near = [int(np.argmin(np.abs(known - coordinate))) for coordinate in np.linspace(first, last, count)]
    axis: Floats = known[sorted(set(near))]
    return axis[(axis >= first - 1e-9 * (last - first)) & (axis <= last + 1e-9 * (last - first))]
