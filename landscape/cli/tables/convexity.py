"""The table of convexity maps, and messages on how well they are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.cli.terminal import console
from landscape.results import ConvexityResult, Floats
from landscape.stats import number_format
from landscape.stats.spectra import CONVEX, convex_share


def print_maps(results: Mapping[str, ConvexityResult]) -> None:
    """Print the range of each map, and say how well it is known."""
    rows = []
    for key, surface in results.items():
        ratio, top, bottom = (surface.grid(metric)[0] for metric in ("convexity", "lambda_max", "lambda_min"))
        known, share = _known(ratio), number_format.share(convex_share(ratio))
        extremes = known.min(), known.max(), _known(top).max(), _known(bottom).min()
        lowest, highest, largest, smallest = (number_format.number(float(value)) for value in extremes)
        rows.append([key, _at_origin(surface), lowest, highest, share, largest, smallest])
    columns = ["result", "at the origin", "lowest", "highest", f"below {CONVEX:g}", "highest λ_max", "lowest λ_min"]
    console.print_table("|λ_min / λ_max| of the Hessian", columns, rows)
    for key, surface in results.items():
        _say_certainty(key, surface)


def _at_origin(surface: ConvexityResult) -> str:
    values, bounds = surface.grid("convexity")[0], surface.grid("convexity", column="bound")[0]
    if 0.0 not in surface.alpha or 0.0 not in surface.beta:
        return "-"
    cell = int(np.searchsorted(surface.beta, 0.0)), int(np.searchsorted(surface.alpha, 0.0))
    return number_format.uncertain(float(values[cell]), float(bounds[cell]))


def _known(values: Floats) -> Floats:
    known: Floats = values[np.isfinite(values)]
    return known if len(known) else np.array([np.nan])


def _say_certainty(key: str, surface: ConvexityResult) -> None:
    products, attributes = surface.grid("products")[0], surface.attributes
    top, bottom = (surface.grid(metric)[0] for metric in ("lambda_max", "lambda_min"))
    sizes = np.fmax(np.abs(top), np.abs(bottom))
    bounds = np.fmax(*(surface.grid(metric, column="bound")[0] for metric in ("lambda_max", "lambda_min")))
    proven = bounds <= attributes["tolerance"] * sizes  # not where the loss diverges
    wider = bounds[(sizes > 0) & ~proven] / sizes[(sizes > 0) & ~proven]
    others = f", {np.median(wider):.2g} at the median of the others" if len(wider) else ""
    console.say(
        f"{key}: {products.sum():.0f} products, {np.median(products):g} at the median point, in "
        f"{number_format.duration(attributes['seconds'])}; bounds within the tolerance of "
        f"{attributes['tolerance']:g} at {proven.sum()} of {proven.size} points{others}"
    )
    if len(wider) and not attributes["quick"]:
        console.warn(f"{key}: {len(wider)} points have bounds wider than the tolerance; try more --max-products")
    if np.isnan(top).any():
        console.warn(f"{key}: the loss diverges at {np.isnan(top).sum()} points, which are left empty")
