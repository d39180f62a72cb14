"""The table of basin widths: over both sides of every random direction of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping

from landscape.cli.terminal import console
from landscape.results import LineResult, SurfaceResult
from landscape.stats import number_format
from landscape.stats.basin_width import width_quartiles


def print_widths(results: Mapping[str, LineResult | SurfaceResult]) -> None:
    """Print median and quartiles of the radius at each rise of the loss, where lines have basin widths."""
    groups: dict[str, list[LineResult]] = {}
    for key, result in results.items():
        if isinstance(result, LineResult) and result.attributes.get("width"):
            label, _, name = key.rpartition("/")
            groups.setdefault(f"{label}/{result.attributes.get('family', name)}", []).append(result)
    rows = []
    for key, lines in groups.items():
        span = max(float(abs(line.alpha).max()) for line in lines)
        for width in width_quartiles(line.attributes["width"] for line in lines):
            quartiles = " to ".join(_radius(value, span) for value in (width.lower, width.upper))
            radii = f"{width.reached} of {width.radii}"
            rows.append([key, f"+{width.rise:g}", _radius(width.median, span), quartiles, str(len(lines)), radii])
    if rows:
        split = next(iter(groups.values()))[0].splits[0]
        columns = ["result", "rise", "median", "quartiles", "directions", "radii reached"]
        console.print_table(f"basin width: α at which the {split} loss has risen", columns, rows)


def _radius(value: float, span: float) -> str:
    return number_format.number(value, 3) if math.isfinite(value) else f"> {span:g}"
