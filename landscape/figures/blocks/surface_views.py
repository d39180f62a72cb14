"""Views of a plane that the reader can choose: quantity and split, each with its scales.

The page's script only draws measured grids on the scale chosen; limits, levels, ticks and notes come from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from landscape.figures.plots.surfaces import grids
from landscape.figures.style import theme
from landscape.figures.style.scale import Scale, clips
from landscape.results import Floats, SampledPlane
from landscape.stats import number_format


@dataclass(frozen=True)
class HeightQuantity:
    """HeightQuantity of the heights: a metric, plain or logarithmic."""

    id: str
    text: str
    metric: str
    log: bool = False


def quantities(surfaces: Sequence[SampledPlane]) -> list[HeightQuantity]:
    """Return the quantities to choose from: loss, log loss, accuracy, error, then the user's."""
    measured = {metric for surface in surfaces for metric in surface.metrics}
    offered: list[HeightQuantity] = []
    for metric in dict.fromkeys(metric for surface in surfaces for metric in grids.metrics_of(surface)):
        offered.append(HeightQuantity(metric, _capitalized(metric), metric))
        if f"log {metric}" not in measured and _has_log(surfaces, metric):
            offered.append(HeightQuantity(f"log {metric}", _capitalized(f"log {metric}"), metric, log=True))
    order = {metric: index for index, metric in enumerate(("loss", "accuracy", grids.ERROR))}
    return sorted(offered, key=lambda quantity: order.get(quantity.metric, len(order)))


def preferred(surfaces: Sequence[SampledPlane], offered: Sequence[HeightQuantity], split: str) -> HeightQuantity:
    """Return the initial quantity: the first metric, logarithmic if its values span a wide range."""
    first = offered[0]
    log = next((quantity for quantity in offered if quantity.log and quantity.metric == first.metric), None)
    arrays = [grids.values(s, first.metric, split) for s in surfaces if drawable(s, first.metric, split)]
    return log if log and arrays and grids.scale_of(arrays, first.metric, split).log else first


def drawable(surface: SampledPlane, metric: str, split: str) -> bool:
    """Return True if a surface has this metric on this split."""
    return metric in grids.metrics_of(surface) and split in grids.splits_of(surface)


def views(surfaces: Sequence[SampledPlane], offered: Sequence[HeightQuantity], splits: Sequence[str]) -> dict[str, Any]:
    """Return the view of each "quantity/split" that the script draws from; without those not measured anywhere.

    Each names the grid drawn (`grid`) and, for contours, the views with levels at even steps and in log steps.
    """
    by_key: dict[str, Any] = {}
    for split in splits:
        for quantity in offered:
            arrays = [grids.values(s, quantity.metric, split) for s in surfaces if drawable(s, quantity.metric, split)]
            logarithmic = quantity.log and _log_scale(arrays, quantity.metric, split) if arrays else False
            if arrays and quantity.log == logarithmic:
                by_key[f"{quantity.id}/{split}"] = _view(arrays, quantity, split)
    for key, view in by_key.items():
        metric, split = view["grid"].rpartition("/")[::2]
        steps = f"log {metric}/{split}"
        logarithmic = steps in by_key and by_key[steps]["grid"] == view["grid"]
        view["even"] = view["grid"] if view["grid"] in by_key else key
        view["steps"] = steps if logarithmic else None
    return by_key


def _view(arrays: list[Floats], quantity: HeightQuantity, split: str) -> dict[str, Any]:
    metric, gap = quantity.metric, split == grids.GAP
    name = grids.name(metric, split)
    return {
        "grid": f"{metric}/{split}",
        "words": name,
        "title": theme.text(name),  # for Plotly
        "colours": grids.colours(metric, split),
        "best": "" if gap else "highest" if metric == "accuracy" else "lowest",
        **_scales(arrays, metric, split, log=quantity.log),
    }


def _scales(arrays: list[Floats], metric: str, split: str, *, log: bool) -> dict[str, Any]:
    """Return the scales to choose from by rising limit, and which of them is the automatic one."""
    automatic = grids.scale_of(arrays, metric, split, log=log)
    top = automatic.value(automatic.top)
    signed = split == grids.GAP
    limits = [] if metric in grids.FRACTIONS else clips([np.abs(a) for a in arrays] if signed else arrays)
    scales = [(top, automatic)]
    for limit in limits:
        scale = grids.scale_of(arrays, metric, split, log=log, clip=limit)
        tall = scale.top - scale.bottom > 0.05 * (automatic.top - automatic.bottom)
        if tall and abs(limit - top) > 1e-6 * abs(top):
            scales.append((limit, scale))
    scales.sort(key=lambda pair: pair[0])
    most = limits[-1] if limits else top
    return {
        "automatic": next(index for index, (_, scale) in enumerate(scales) if scale is automatic),
        "scales": [_scale_json(scale, arrays, limit, whole=limit >= most * (1 - 1e-6)) for limit, scale in scales],
    }


def _scale_json(scale: Scale, arrays: list[Floats], limit: float, *, whole: bool) -> dict[str, Any]:
    return {
        **asdict(scale),
        "start": scale.start,
        "frame": scale.frame,
        "limit": limit,
        "words": "whole range" if whole else number_format.tick(float(f"{limit:.3g}")),
        "note": scale.note(arrays),
    }


def _has_log(surfaces: Sequence[SampledPlane], metric: str) -> bool:
    for split in dict.fromkeys(split for surface in surfaces for split in surface.splits):
        arrays = [grids.values(s, metric, split) for s in surfaces if drawable(s, metric, split)]
        wide = metric == "loss" or grids.scale_of(arrays, metric, split).log
        if arrays and wide and _log_scale(arrays, metric, split):
            return True
    return False


def _log_scale(arrays: list[Floats], metric: str, split: str) -> bool:
    """Return True if values can be drawn logarithmically: unbounded and nowhere negative."""
    if metric in grids.FRACTIONS or split == grids.GAP:
        return False
    scale = grids.scale_of(arrays, metric, split, log=True)
    return scale.log and math.isfinite(scale.top)


def _capitalized(word: str) -> str:
    return word[:1].upper() + word[1:].replace("_", " ")
