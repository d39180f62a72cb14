"""Blocks of surfaces: the measured grids of surfaces on one scale, and empty figures for the script to fill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from landscape.figures.blocks import surface_views
from landscape.figures.blocks.json_payload import figure_json, packed
from landscape.figures.blocks.surface_paths import SurfacePath, surface_paths
from landscape.figures.grouping.comparability import cautions
from landscape.figures.grouping.headings import plane_heading
from landscape.figures.grouping.notes import completeness_note, estimate_note
from landscape.figures.plots.surfaces import contour, grids, relief
from landscape.figures.plots.surfaces.trajectory import axis_titles, belongs
from landscape.figures.style import theme
from landscape.figures.style.scale import choose_scale
from landscape.results import Result, SurfaceResult, TrajectoryResult
from landscape.stats import number_format
from landscape.stats.chance import chance_levels

Extent = tuple[list[float], list[float]]  # along both axes


@dataclass(frozen=True)
class SurfacePanel:
    """One surface on the page: a 3-D figure and its contours."""

    id: str
    key: str  # of its result
    checkpoint: str
    label: str  # the checkpoint, and the BatchNorm mode or name if it has several surfaces
    note: str  # "n of m points computed so far"
    alt: str
    series: int  # index of its colour


@dataclass(frozen=True)
class SurfaceBlock:
    """Surfaces shown together on one scale."""

    is_surface = True  # drawn by plane.html
    id: str
    name: str
    heading: str  # the directions of the plane
    panels: list[SurfacePanel]
    quantities: list[surface_views.HeightQuantity]
    chosen: str  # the quantity to begin with
    splits: list[str]
    cautions: list[str]  # settings in which they differ, and stored warnings
    estimates: list[str]  # measured errors of estimated surfaces
    axes: str  # meaning of a step along the axes
    paths: list[SurfacePath]
    data: dict[str, Any] = field(repr=False)

    @property
    def keys(self) -> list[str]:
        """The results shown."""
        return list(dict.fromkeys([*(panel.key for panel in self.panels), *(path.key for path in self.paths)]))

    @property
    def columns(self) -> int:
        """Number of panels side by side if there is room."""
        return {1: 1, 2: 2, 3: 3, 4: 2}.get(len(self.panels), 3)

    @property
    def quantity_options(self) -> dict[str, str]:
        """Options of the switch of quantities: value → label."""
        return {quantity.id: quantity.text for quantity in self.quantities}

    @property
    def split_options(self) -> dict[str, str]:
        """Options of the switch of splits: value → label."""
        return {split: split[:1].upper() + split[1:] for split in self.splits}

    @property
    def has_marks(self) -> bool:
        """True if other checkpoints are marked on the plane."""
        roles = {trace["meta"]["role"] for panel in self.data["panels"] for trace in panel["contour"]["data"]}
        return "mark" in roles

    @property
    def ratio(self) -> float:
        """Height over width of the plane, limited to what a page can show."""
        x, y = (self.data["panels"][0]["contour"]["layout"][axis]["range"] for axis in ("xaxis", "yaxis"))
        return float(min(max((y[1] - y[0]) / max(x[1] - x[0], 1e-12), 0.4), 1.2))

    @property
    def offers_steps(self) -> bool:
        """True if contours may have levels in log steps."""
        return any(view["steps"] for view in self.data["views"].values())

    @property
    def chance_text(self) -> str:
        """Chance level of the loss, or of the accuracy if that is all there is; empty if it is not known."""
        levels = self.data["chance"]
        if "loss" in levels:
            return f"Chance level, ln {round(math.exp(levels['loss']))} = {number_format.number(levels['loss'], 3)}"
        return f"Chance level, {number_format.share(levels['accuracy'])}" if levels else ""

    @property
    def has_measured(self) -> bool:
        """True if a surface is an estimate whose measured points can be shown."""
        return any("measured" in panel for panel in self.data["panels"])


def surface_block(
    identity: str,
    name: str,
    group: Mapping[str, SurfaceResult],
    results: Mapping[str, Result],
    colours: Mapping[str, int],
) -> SurfaceBlock:
    """Return the block of the page that shows `group` (surfaces by result key) together."""
    surfaces = list(group.values())
    splits = list(dict.fromkeys(split for s in surfaces for split in grids.splits_of(s)))
    offered = surface_views.quantities(surfaces)
    modes = {str(surface.attributes.get("batchnorm")) for surface in surfaces}
    checkpoints = [key.rpartition("/")[0] for key in group]
    repeated = len(set(checkpoints)) < len(checkpoints)
    panels = []
    for index, ((key, surface), checkpoint) in enumerate(zip(group.items(), checkpoints, strict=True)):
        mode = f" · BatchNorm {surface.attributes.get('batchnorm')}" if len(modes) > 1 else ""
        label = checkpoint + (mode or (f" · {key.rpartition('/')[2]}" if repeated else ""))
        series = index if repeated else colours.get(checkpoint, index)
        panels.append(
            SurfacePanel(
                f"{identity}-{index}", key, checkpoint, label, _note(surface), _alt_text(label, surface), series
            )
        )
    trajectories = {key: result for key, result in results.items() if isinstance(result, TrajectoryResult)}
    paths = surface_paths(trajectories, surfaces, colours)
    chosen = surface_views.preferred(surfaces, offered, splits[0]).id
    on_plane = [t for t in trajectories.values() if any(belongs(t, surface) for surface in surfaces)]
    axes = [_axis_titles(surface, on_plane) for surface in surfaces]
    data = {
        "id": identity,
        "quantity": chosen,
        "views": surface_views.views(surfaces, offered, splits),
        "panels": [
            {"id": panel.id, "title": theme.text(panel.label), "series": panel.series}
            | _fill(surface, splits, titles, solid=grids.extent(surfaces), flat=_extent(surfaces, on_plane))
            for panel, surface, titles in zip(panels, surfaces, axes, strict=True)
        ],
        "paths": [path.data for path in paths],
        "chance": _chance(surfaces),
        "camera": relief.CAMERA,
        "lift": relief.LIFT,
        "shaping": relief.SHAPING,
    }
    caution = cautions({p.label: s for p, s in zip(panels, surfaces, strict=True)}, but=("batchnorm",) * repeated)
    estimates = _estimates(panels, surfaces)
    return SurfaceBlock(
        identity,
        name,
        _heading(name, surfaces),
        panels,
        offered,
        chosen,
        splits,
        [caution] if caution else [],
        estimates,
        _axes(surfaces),
        paths,
        data,
    )


def _heading(name: str, surfaces: Sequence[SurfaceResult]) -> str:
    """Return the directions of a plane, and the number of a region that was measured more finely."""
    whole, _, region = name.partition(", region ")
    return (plane_heading(surfaces) or whole) + (f", region {region}" if region else "")


def _note(surface: SurfaceResult) -> str:
    """Return a note on the points that are not computed yet or not numbers."""
    metric = "loss" if "loss" in surface.metrics else surface.metrics[0]
    nan = int((np.isnan(surface.grid(metric)).any(0) & surface.computed()).sum())
    holes = f"{nan:,} {'point is' if nan == 1 else 'points are'} not a number (holes)" if nan else ""
    return "; ".join(filter(None, (completeness_note(surface), holes)))


def _estimates(panels: Sequence[SurfacePanel], surfaces: Sequence[SurfaceResult]) -> list[str]:
    """Return the measured error and the saving of each estimated surface."""
    notes = []
    for panel, surface in zip(panels, surfaces, strict=True):
        note = estimate_note(surface.attributes)
        if note:
            notes.append(f"{panel.label}: {note}" if len(panels) > 1 else note[0].upper() + note[1:])
    return notes


def _axes(surfaces: Sequence[SurfaceResult]) -> str:
    """Return the meaning of a step along the axes if all surfaces agree on it."""
    directions = [surface.attributes.get("directions") or {} for surface in surfaces]
    stated = {str(one.get("axes", "")) for one in directions}
    if len(stated) == 1 and any(stated):
        return stated.pop()
    meanings = {
        (str(one.get("kind", "")), str(one.get("normalization", "")) if one.get("kind") == "random" else "")
        for one in directions
    }
    if len(meanings) != 1:
        return ""
    kind, normalization = meanings.pop()
    if kind == "random":
        unit = {"filter": "each filter", "layer": "each layer", "weight": "each weight"}.get(normalization)
        return f"A step of 1 along α or β moves {unit} by its own norm." if unit else ""
    return {
        "pca": "The axes are the first two principal components of the training trajectory.",
        "three": "The plane through three checkpoints.",
        "eigenvectors": "The axes are eigenvectors of the Hessian.",
    }.get(kind, "")


def _axis_titles(surface: SurfaceResult, trajectories: Iterable[TrajectoryResult]) -> tuple[str, str]:
    """Return the titles of the axes, with the explained variances that a trajectory on this plane holds."""
    known = next((t for t in trajectories if belongs(t, surface) and len(t.explained) > 1), None)
    return axis_titles(known) if known is not None else grids.axis_names(surface)


def _chance(surfaces: Sequence[SurfaceResult]) -> dict[str, float]:
    """Return the chance level by metric; empty unless it is the same for all surfaces."""
    levels = [chance_levels(surface.attributes) for surface in surfaces]
    return levels[0] if all(one == levels[0] for one in levels) else {}


def _extent(surfaces: Sequence[SurfaceResult], trajectories: Sequence[TrajectoryResult]) -> Extent:
    """Return the axis ranges that hold the surfaces and, with a margin, the paths on them."""
    ranges = []
    for axis, (low, high) in zip(("alpha", "beta"), grids.extent(surfaces), strict=True):
        coordinates = np.concatenate([np.empty(0), *(getattr(trajectory, axis) for trajectory in trajectories)])
        outside = [float(at) for at in coordinates if np.isfinite(at) and not low <= at <= high]
        room = 0.04 * (max([high, *outside]) - min([low, *outside])) if outside else 0.0
        ranges.append([min([low, *(at - room for at in outside)]), max([high, *(p + room for p in outside)])])
    return ranges[0], ranges[1]


def _fill(
    surface: SurfaceResult, splits: Sequence[str], axes: tuple[str, str], *, solid: Extent, flat: Extent
) -> dict[str, Any]:
    """Return one panel's grids and its two figures, without the grids that the script fills in."""
    shown = [(m, s) for m in grids.metrics_of(surface) for s in splits if surface_views.drawable(surface, m, s)]
    measured = np.unique(surface.points[surface.points["level"] == 1][["alpha", "beta"]])
    spots = {"measured": [measured["alpha"].tolist(), measured["beta"].tolist()]} if len(measured) else {}
    return {
        **_empty_figures(surface, *shown[0], axes, solid, flat),
        "grids": {f"{metric}/{split}": packed(grids.values(surface, metric, split)) for metric, split in shown},
        "details": [f"{metric}/{split}" for metric, split in grids.columns(surface)],
        "axes": [surface.alpha.tolist(), surface.beta.tolist()],
        "centre": grids.centre(surface),
        "wires": relief.wires(surface),
        **spots,
    }


def _empty_figures(
    surface: SurfaceResult, metric: str, split: str, axes: tuple[str, str], solid: Extent, flat: Extent
) -> dict[str, Any]:
    """Return the 3-D figure and the contours of a surface: styles, texts and marks, to be filled with heights."""
    array = grids.values(surface, metric, split)
    scale = choose_scale([array])  # replaced by the script
    marks = [mark for mark in grids.marks(surface, array, metric) if mark.role == "origin"]
    marks += [grids.Mark("best", "best on the grid", "diamond", 0.0, 0.0), *grids.checkpoints(surface)]
    relief_figure = go.Figure(
        [relief.relief(surface, array, metric, split, scale)[0], *(relief.pin(mark, 0.0, scale) for mark in marks)],
        {"scene": relief.scene(metric, split, scale, *solid, axes), "margin": {"l": 0, "r": 0, "t": 0, "b": 0}},
    )
    contour_figure = go.Figure(
        [contour.contours(surface, array, metric, split, scale)[0], *(contour.symbol(mark) for mark in marks)],
        {"margin": {"l": 44, "r": 8, "t": 8, "b": 40}},
    )
    contour.square(contour_figure, 1, *flat, axes)
    figures = {"relief": figure_json(relief_figure), "contour": figure_json(contour_figure)}
    for figure in figures.values():
        for trace_key in ("z", "customdata", "colorscale", "colorbar"):
            figure["data"][0].pop(trace_key, None)
    return figures


def _alt_text(label: str, surface: SurfaceResult) -> str:
    """Return a text alternative of the first metric and split of a surface."""
    metric, split = surface.metrics[0], surface.splits[0]
    array = grids.values(surface, metric, split)
    at, lowest = grids.centre(surface), grids.best(array, "loss")
    parts = [f"{grids.name(metric, split)} of {label}"]
    if at:
        parts.append(f"{number_format.number(float(array[at]))} at the checkpoint")
    if lowest:
        y, x = lowest
        where = f"α {surface.alpha[x]:.3g}, β {surface.beta[y]:.3g}"
        parts.append(f"lowest {number_format.number(float(array[lowest]))} at {where}")
        parts.append(f"largest {number_format.number(float(np.nanmax(array)))}")
    return "; ".join(parts)
