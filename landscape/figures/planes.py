"""Surfaces as the page's script needs them: measured grids, the scales to choose from, and figures to fill.

The script draws `grids[view]` on one of that view's scales; every choice (limits, levels, ticks, notes) is made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from landscape.figures import numbers, surface, theme
from landscape.figures.embed import figure_json, packed
from landscape.figures.provenance import count
from landscape.figures.scale import Scale, choose_scale, clips
from landscape.figures.summary import differences
from landscape.results import Floats, Surface


@dataclass(frozen=True)
class Panel:
    """One surface on the page: a 3-D figure and its contours."""

    id: str
    label: str
    note: str  # "n of m points computed so far"
    alt: str


@dataclass(frozen=True)
class Plane:
    """Surfaces of one name, shown together on one scale."""

    id: str
    name: str
    panels: list[Panel]
    metrics: list[str]
    splits: list[str]
    note: str
    data: dict[str, Any]

    @property
    def metric_options(self) -> dict[str, str]:
        """What the switch of metrics offers: value → words."""
        return {metric: metric.capitalize() for metric in self.metrics}

    @property
    def split_options(self) -> dict[str, str]:
        """What the switch of splits offers: value → words."""
        return {split: split.capitalize() for split in self.splits}

    @property
    def columns(self) -> int:
        """How many panels stand side by side where there is room."""
        return {1: 1, 2: 2, 3: 3, 4: 2}.get(len(self.panels), 3)


def plane(identity: str, name: str, surfaces: Mapping[str, Surface]) -> Plane:
    """Return the block of the page that shows `surfaces` (by checkpoint label) together."""
    metrics = list(dict.fromkeys(metric for s in surfaces.values() for metric in s.metrics))
    splits = list(dict.fromkeys(split for s in surfaces.values() for split in surface.splits_of(s)))
    views = {}
    for metric in metrics:
        for split in splits:
            arrays = [surface.values(s, metric, split) for s in surfaces.values() if _has(s, metric, split)]
            if arrays:
                views[f"{metric}/{split}"] = _view(arrays, metric, split)
    panels, filled = [], []
    for index, (label, found) in enumerate(surfaces.items()):
        panel = f"{identity}-{index}"
        panels.append(Panel(id=panel, label=label, note=_note(found), alt=_words(label, found)))
        filled.append({"id": panel, **_fill(found, surfaces, splits)})
    data = {"id": identity, "views": views, "panels": filled, "camera": surface.CAMERA, "lift": surface.LIFT}
    return Plane(identity, name, panels, metrics, splits, differences(surfaces), data)


def _note(found: Surface) -> str:
    """Return what the pictures cannot show: points that are still to be computed, and those that are no number."""
    nan = int(
        (np.isnan(found.grid("loss" if "loss" in found.metrics else found.metrics[0])).any(0) & found.computed()).sum()
    )
    holes = f"{nan:,} {'point is' if nan == 1 else 'points are'} not a number (holes)" if nan else ""
    return "; ".join(filter(None, (count(found), holes)))


def _has(found: Surface, metric: str, split: str) -> bool:
    return metric in found.metrics and split in surface.splits_of(found)


def _view(arrays: list[Floats], metric: str, split: str) -> dict[str, Any]:
    """Return one choice of metric and split: its title, colours, and its scales, linear and where possible log."""
    gap = split == surface.GAP
    chosen = surface.scale_of(arrays, metric, split)
    modes = {"linear": _scales(arrays, metric, split, log=False)}
    if metric != "accuracy" and not gap and surface.scale_of(arrays, metric, split, log=True).log:
        modes["log"] = _scales(arrays, metric, split, log=True)
    return {
        "words": surface.name(metric, split),
        "title": theme.text(surface.name(metric, split)),  # for Plotly
        "colours": surface.colours(metric, split),
        "best": "" if gap else "highest" if metric == "accuracy" else "lowest",
        "mode": "log" if chosen.log else "linear",
        "modes": modes,
    }


def _scales(arrays: list[Floats], metric: str, split: str, *, log: bool) -> dict[str, Any]:
    """Return the scales of one mode by rising height limit, and which of them is the automatic one."""
    automatic = surface.scale_of(arrays, metric, split, log=log)
    top = automatic.value(automatic.top)
    limits = [] if metric == "accuracy" else clips([np.abs(a) for a in arrays] if split == surface.GAP else arrays)
    scales = [(top, automatic)]
    for limit in limits:
        scale = surface.scale_of(arrays, metric, split, log=log, clip=limit)
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
        "limit": "whole range" if whole else numbers.tick(float(f"{limit:.3g}")),
        "note": scale.note(arrays),
    }


def _fill(found: Surface, together: Mapping[str, Surface], splits: list[str]) -> dict[str, Any]:
    """Return one panel's grids and its two figures, emptied of the grids that the script fills in."""
    views = [(m, s) for m in found.metrics for s in splits if _has(found, m, s)]
    scale = choose_scale([found.grid(found.metrics[0])])  # a stand-in: the script sets the scale
    figures = {}
    for kind, view in (("relief", "3d"), ("contour", "contour")):
        drawn = surface.surface_figure({"": found}, view=view, metric=views[0][0], split=views[0][1], scale=scale)  # type: ignore[arg-type]
        figure = figure_json(drawn)
        for key in ("z", "customdata", "colorscale", "colorbar"):
            figure["data"][0].pop(key)
        figure["data"][0]["showscale"] = False
        figures[kind] = figure
    figures["contour"]["layout"]["margin"] = {"l": 44, "r": 8, "t": 8, "b": 40}
    figures["relief"]["layout"]["margin"] = {"l": 0, "r": 0, "t": 0, "b": 0}
    x, y = surface.extent(together.values())
    figures["relief"]["layout"]["scene"]["xaxis"]["range"] = figures["contour"]["layout"]["xaxis"]["range"] = x
    figures["relief"]["layout"]["scene"]["yaxis"]["range"] = figures["contour"]["layout"]["yaxis"]["range"] = y
    return {
        **figures,
        "grids": {f"{metric}/{split}": packed(surface.values(found, metric, split)) for metric, split in views},
        "details": [f"{metric}/{split}" for metric, split in surface.columns(found)],
        "axes": [found.alpha.tolist(), found.beta.tolist()],
        "centre": surface.centre(found),
    }


def _words(label: str, found: Surface) -> str:
    """Return a text alternative of the first metric and split of a surface."""
    metric, split = found.metrics[0], found.splits[0]
    array = surface.values(found, metric, split)
    at, lowest = surface.centre(found), surface.best(array, "loss")
    parts = [f"{surface.name(metric, split)} of {label}"]
    if at:
        parts.append(f"{numbers.number(float(array[at]))} at the checkpoint")
    if lowest:
        y, x = lowest
        where = f"α {found.alpha[x]:.3g}, β {found.beta[y]:.3g}"
        parts.append(f"lowest {numbers.number(float(array[lowest]))} at {where}")
        parts.append(f"largest {numbers.number(float(np.nanmax(array)))}")
    return "; ".join(parts)
