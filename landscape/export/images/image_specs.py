"""Images of a file: one for each name of results, comparing its checkpoints, or one for each result."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.export.images.layout import BAR, NARROW, line_height, square_height, step_back, width_of
from landscape.figures.figure import compare
from landscape.figures.grouping.families import families, is_between
from landscape.figures.grouping.labels import Names, names_of, relabelled, with_short_ends
from landscape.figures.kinds.registry import kind_of
from landscape.figures.plots.history import by_recipe, history_figure, recorded
from landscape.figures.plots.line import line_figure
from landscape.figures.plots.sharpness_curves import Over, curves_figure, swept
from landscape.figures.plots.surfaces import grids
from landscape.figures.plots.surfaces.convexity import convexity_note
from landscape.figures.plots.surfaces.surface import View, draw_on_scale
from landscape.figures.plots.surfaces.trajectory import Ground, belongs, trajectory_figure, trajectory_note
from landscape.figures.style.dark import to_dark
from landscape.figures.style.scale import Scale
from landscape.results import (
    ConvexityResult,
    Floats,
    HistoryResult,
    LineResult,
    Result,
    Sampled,
    SampledPlane,
    SharpnessResult,
    StudyResult,
    SurfaceResult,
    TrajectoryResult,
)

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class ImageOptions:
    """Options of images."""

    metric: str | None = None
    split: str | None = None
    log: bool | None = None
    clip: float | None = None
    views: Sequence[str] = ("3d", "contour")  # of surfaces
    x: str = "epoch"  # of training curves
    dark: bool = False
    title: str | None = None
    width: int | None = None  # in CSS pixels: a narrow image has its panels one below the other
    labels: Sequence[str] = ()  # names of the checkpoints, in their order


@dataclass(frozen=True)
class ImageSpec:
    """One image to draw: name, figure, size in CSS pixels, and notes for a caption."""

    stem: str
    figure: go.Figure
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def image_specs(results: Mapping[str, Result], options: ImageOptions, *, separate: bool = False) -> list[ImageSpec]:
    """Return the images of results by "<checkpoint>/<name>".

    Args:
        results: The results to draw.
        options: Options.
        separate: One image for each result, instead of one for each name with all its checkpoints.

    Raises:
        LandscapeError: There is nothing to draw of what was asked for.
    """
    _check_metric(results, options.metric)
    chosen = [{key: result} for key, result in results.items()] if separate else [dict(results)]
    names = names_of(results, options.labels)
    specs = [spec for some in chosen for spec in _specs(some, results, options, names)]
    if options.dark:
        specs = [dataclasses.replace(spec, figure=to_dark(spec.figure)) for spec in specs]
    if not specs:
        raise LandscapeError(f"nothing to draw of {', '.join(results) or 'no results'} as asked for")
    return specs


def _check_metric(results: Mapping[str, Result], metric: str | None) -> None:
    """Refuse a metric that none of the results has."""
    known: dict[str, None] = {}
    for result in results.values():
        if isinstance(result, SampledPlane):
            known |= dict.fromkeys(grids.metrics_of(result))
        elif isinstance(result, LineResult):
            known |= dict.fromkeys(result.metrics)
        elif isinstance(result, HistoryResult):
            known |= dict.fromkeys(recorded([result]))
    if metric is not None and metric not in known:
        raise LandscapeError(f"expected a metric among {', '.join(known) or 'none here'}, got {metric!r}")


def _specs(
    results: Mapping[str, Result], everything: Mapping[str, Result], options: ImageOptions, names: Names
) -> Iterator[ImageSpec]:
    yield from _surfaces(results, everything, options, names)
    yield from _lines(results, options, names)
    yield from _trajectories(results, everything, options, names)
    for name, group in _named(results):
        first = next(iter(group.values()))
        if isinstance(first, SampledPlane | LineResult | TrajectoryResult):
            continue
        stem, named = _stem(name, group), relabelled(group, names)
        if isinstance(first, HistoryResult):
            yield from _histories(stem, named, options)
            continue
        wide = {"width": options.width or 1000} if isinstance(first, StudyResult) else {}
        figure = compare(named, dark=options.dark, title=options.title, **wide)
        width = 1000 if "xaxis2" in figure.layout else 760
        caption = kind_of(first).caption
        notes = [caption(named)] if caption is not None else []
        yield ImageSpec(stem, figure, options.width or width, int(figure.layout.height or 440), notes)
        if isinstance(first, SharpnessResult):
            yield from _curves(stem, named, options)  # type: ignore[arg-type]


def _surfaces(
    results: Mapping[str, Result], everything: Mapping[str, Result], options: ImageOptions, names: Names
) -> Iterator[ImageSpec]:
    for name, group in _named({key: r for key, r in results.items() if isinstance(r, SampledPlane)}):
        surfaces = {label: r for label, r in group.items() if isinstance(r, SampledPlane)}
        maps = {label: r for label, r in surfaces.items() if isinstance(r, ConvexityResult)}
        others = {label: r for label, r in surfaces.items() if label not in maps}
        if maps and options.metric in (None, "convexity"):
            named = relabelled(maps, names)
            drawn = compare(named, clip=options.clip, dark=options.dark, title=options.title)
            width, notes = options.width or 70 + 430 * len(maps), [*_unfinished(maps), convexity_note(named)]
            yield ImageSpec(_stem(name, maps), drawn, width, square_height(width, len(maps)), notes)
        for chosen in (others, maps) if options.metric not in (None, "convexity") else (others,):
            shown = {label: r for label, r in chosen.items() if options.metric in (None, *grids.metrics_of(r))}
            if shown:
                twins = [r for key, r in everything.items() if isinstance(r, SampledPlane) and key.endswith(f"/{name}")]
                narrow = options.width is not None and options.width < NARROW * len(shown)
                for some in [{label: r} for label, r in shown.items()] if narrow else [shown]:
                    yield from _views(_stem(name, some), relabelled(some, names), twins, options)


def _views(
    stem: str, shown: Mapping[str, SampledPlane], twins: Sequence[SampledPlane], options: ImageOptions
) -> Iterator[ImageSpec]:
    """Yield each view of surfaces, on the scale that all surfaces of their name share."""
    first = next(iter(shown.values()))
    metric, split = options.metric or first.metrics[0], options.split or first.splits[0]
    alike = [r for r in twins if metric in grids.metrics_of(r) and split in grids.splits_of(r)]
    arrays = [grids.values(surface, metric, split) for surface in alike or shown.values()]
    scale = grids.scale_of(arrays, metric, split, log=options.log, clip=options.clip)
    notes = _unfinished(shown) + _cut([grids.values(r, metric, split) for r in shown.values()], shown, scale)
    for view in cast("Sequence[View]", options.views):
        drawn = draw_on_scale(
            shown, scale, view=view, metric=metric, split=split, title=options.title, dark=options.dark
        )
        if options.dark:
            drawn = to_dark(drawn)
        drawn.for_each_annotation(lambda note: note.update(font={"size": 13}))
        drawn.update_traces(colorbar={"title": {"font": {"size": 13}}}, selector={"showscale": True})
        panels = 1 if view == "overlay" else len(shown)
        if view == "contour":
            width = options.width or 70 + 440 * panels
            for column in range(2, panels + 1):  # the same axis as its neighbour's: once is enough
                drawn.layout[f"yaxis{column}"].title.text = ""
            yield ImageSpec(f"{stem}-{view}", drawn, width, square_height(width, panels), notes)
        else:
            width = options.width or 560 * panels
            height = round(min(520, 0.93 * width / panels))
            drawn.for_each_scene(functools.partial(step_back, aspect=(width - BAR) / panels / height))
            yield ImageSpec(f"{stem}-{view}", drawn, width, height, notes)


def _lines(results: Mapping[str, Result], options: ImageOptions, names: Names) -> Iterator[ImageSpec]:
    groups: dict[str, Mapping[str, LineResult | Sequence[LineResult]]] = {}
    for family, members in families(results).items():
        groups[_stem(family, members)] = relabelled(members, names)
    for key, result in results.items():
        if isinstance(result, LineResult) and is_between(result):
            label, _, name = key.rpartition("/")
            groups[label] = {**groups.get(label, {}), name: with_short_ends(result, names)}
    for stem, lines in groups.items():
        flat = [line for entry in lines.values() for line in ([entry] if isinstance(entry, LineResult) else entry)]
        known = dict.fromkeys(metric for line in flat for metric in line.metrics)
        metrics = [metric for metric in known if options.metric in (None, metric)]
        if metrics:
            width, stacked = width_of(len(metrics), options.width)
            drawn = line_figure(
                lines, metrics=metrics, log=options.log, stacked=stacked, dark=options.dark, title=options.title
            )
            yield ImageSpec(stem, drawn, width, line_height(len(metrics), stacked), _unfinished(dict(enumerate(flat))))


def _trajectories(
    results: Mapping[str, Result], everything: Mapping[str, Result], options: ImageOptions, names: Names
) -> Iterator[ImageSpec]:
    """Yield the trajectories of each plane together, on the surface of that plane if the file holds one."""
    planes: dict[Any, dict[str, TrajectoryResult]] = {}
    for key, path in results.items():
        if isinstance(path, TrajectoryResult):
            hashes = tuple((path.attributes.get("directions") or {}).get("hashes") or (key,))
            planes.setdefault(hashes, {})[key] = path
    for together in planes.values():
        first = next(iter(together.values()))
        on = next((r for r in everything.values() if isinstance(r, SurfaceResult) and belongs(first, r)), None)
        named = {names.get(key.rpartition("/")[0], key.rpartition("/")[0]): path for key, path in together.items()}
        named = named if len(named) == len(together) else together
        ground = None
        if on is not None:
            metric = options.metric if options.metric in grids.metrics_of(on) else None
            split = options.split if options.split in grids.splits_of(on) else None
            ground = Ground(on, metric, split, options.log)
        width, stacked = width_of(2, options.width)
        drawn = trajectory_figure(named, on=ground, stacked=stacked, dark=options.dark, title=options.title)
        notes = [f"{label}: {note}" for label, path in named.items() if (note := trajectory_note(path))]
        if "xaxis2" not in drawn.layout:
            width, stacked = options.width or 620, False
        yield ImageSpec("-".join(next(iter(together)).split("/")), drawn, width, line_height(2, stacked) + 20, notes)


def _histories(stem: str, group: Mapping[str, Result], options: ImageOptions) -> Iterator[ImageSpec]:
    runs = {label: r for label, r in group.items() if isinstance(r, HistoryResult) and recorded([r])}
    metrics = [metric for metric in recorded(runs.values()) if options.metric in (None, metric)]
    if metrics:
        width, stacked = width_of(len(metrics), options.width)
        together = by_recipe(runs)
        drawn = history_figure(
            together if len(together) < len(runs) else runs,
            metrics=metrics,
            x=options.x,
            log=options.log,
            stacked=stacked,
            title=options.title,
            dark=options.dark,
        )
        yield ImageSpec(stem, to_dark(drawn) if options.dark else drawn, width, line_height(len(metrics), stacked))


def _curves(stem: str, group: Mapping[str, SharpnessResult], options: ImageOptions) -> Iterator[ImageSpec]:
    overs: tuple[Over, ...] = ("rho", "m")
    for over in overs:
        curves = swept(group, over)
        if curves:
            width = options.width or max(420, 340 * min(len(curves), 3))
            drawn = curves_figure(
                group, over=over, log=options.log, width=width, dark=options.dark, title=options.title
            )
            yield ImageSpec(f"{stem}-over-{over}", drawn, width, int(drawn.layout.height))


def _named(results: Mapping[str, R]) -> list[tuple[str, dict[str, R]]]:
    """Return results by name and kind, then by checkpoint."""
    groups: dict[tuple[str, str], dict[str, R]] = {}
    for key, result in results.items():
        label, _, name = key.rpartition("/")
        groups.setdefault((name, result.kind), {})[label] = result
    return [(name, group) for (name, _), group in groups.items()]


def _stem(name: str, group: Mapping[str, Any]) -> str:
    """Return the stem of the file name: the name of the results, preceded by the checkpoint's if there is only one."""
    return name if len(group) > 1 else f"{next(iter(group))}-{name}"


def _unfinished(group: Mapping[Any, Sampled]) -> list[str]:
    """Return a note on the points of surfaces or lines that are not computed yet."""
    cells = [result.computed() for result in group.values()]
    done, asked = sum(int(cell.sum()) for cell in cells), sum(cell.size for cell in cells)
    return [] if done == asked else [f"{done:,} of {asked:,} points computed so far."]


def _cut(arrays: Sequence[Floats], group: Mapping[str, SampledPlane], scale: Scale) -> list[str]:
    """Return notes on the points of surfaces that lie off the scale or are not numbers."""
    nan = sum(int((np.isnan(a) & s.computed()).sum()) for a, s in zip(arrays, group.values(), strict=True))
    notes = [
        scale.note(arrays),
        f"{nan:,} {'point is' if nan == 1 else 'points are'} no number (holes)." if nan else "",
    ]
    return [word for word in notes if word]
