"""The section of curvature: eigenvalues, spectral densities, layers and convexity maps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from landscape.figures.grouping.comparability import differences
from landscape.figures.plots.density import density_figure, density_note
from landscape.figures.plots.layers import WORDS, layers_figure
from landscape.figures.plots.spectrum import spectrum_figure
from landscape.figures.plots.surfaces.convexity import convexity_figure, convexity_note, is_convexity
from landscape.figures.report.blocks import Block, Plot, bare, entries, keys, of_kind
from landscape.figures.report.tables import Cell, Head, Table, eigenvalue_table
from landscape.figures.style import number_format
from landscape.results import DensityResult, LayersResult, Result, SpectrumResult, SurfaceResult


def spectrum_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[Block]:
    """Return a block for each name of spectra: the eigenvalues with their bounds, and as a table."""
    groups = of_kind(results, SpectrumResult)
    blocks = []
    for index, (name, spectra) in enumerate(groups.items()):
        tops = [
            f"{label} {number_format.number(float(s.eigenvalues[0]))}" for label, s in spectra.items() if len(s.ends)
        ]
        bound = next((str(s.attributes["bound"]) for s in spectra.values() if s.attributes.get("bound")), "residual")
        open_ = int(sum(np.sum(~s.converged) for s in spectra.values()))
        caption = f"Bars: {bound} bound on the distance to an exact eigenvalue, often smaller than the mark."
        caption += _of_subsets(spectra)
        if open_:
            caption += f" {open_} did not converge to the tolerance asked for (open marks): take them as estimates."
        alt = f"Eigenvalues from both ends; largest: {', '.join(tops)}"
        plot = Plot(f"spectrum-{index}", alt, {"": bare(spectrum_figure(spectra, colours=colours))}, caption=caption)
        heading = _heading("Eigenvalues", name, len(groups))
        tables = [table for table in (_estimates(spectra), eigenvalue_table(spectra)) if table is not None]
        legend = entries(list(spectra), colours)
        shown = keys(name, list(spectra))
        blocks.append(
            Block(
                f"spectrum-block-{index}",
                heading,
                [plot],
                shown,
                caution=differences(spectra),
                legend=legend,
                tables=tables,
            )
        )
    return blocks


def _of_subsets(spectra: Mapping[str, SpectrumResult]) -> str:
    """Return in words how the largest eigenvalue varies over subsets of the examples, where it was taken on several."""
    found = {label: s.attributes["subsets"] for label, s in spectra.items() if "subsets" in s.attributes}
    if not found:
        return ""
    words = [
        f"{label} {number_format.uncertain(float(spectra[label].eigenvalues[0]), float(subsets['stderr'][0]))} "
        f"over {subsets['count']} subsets of {max(subsets['examples']):,} examples"
        for label, subsets in found.items()
    ]
    return f" Means over disjoint subsets; the first eigenvalue with its standard error over them: {'; '.join(words)}."


def _estimates(spectra: Mapping[str, SpectrumResult]) -> Table | None:
    """Return a table of what was estimated beside the eigenvalues: trace, Frobenius norm, effective rank, λ₁/λ₅."""
    words = {"trace": "Trace", "frobenius": "Frobenius norm", "effective_rank": "Effective rank", "ratio_5": "λ₁ / λ₅"}
    rows = []
    for key, name in words.items():
        cells = [_estimate(spectrum.attributes.get(key)) for spectrum in spectra.values()]
        if any(cell.words for cell in cells):
            methods = {str(a["method"]) for s in spectra.values() if isinstance(a := s.attributes.get(key), Mapping)}
            rows.append([Cell(name, small=", ".join(sorted(methods))), *cells])
    head = [Head("Estimate"), *(Head(label, checkpoint=label) for label in spectra)]
    return Table("Estimates of the whole spectrum", head, rows, note="± is one standard error.") if rows else None


def _estimate(found: object) -> Cell:
    if isinstance(found, int | float) and math.isfinite(found):
        return Cell(number_format.number(float(found)), value=float(found))
    if isinstance(found, Mapping) and isinstance(found.get("value"), int | float):
        value, error = float(found["value"]), found.get("stderr")
        known = float(error) if isinstance(error, int | float) else math.nan
        return Cell(number_format.uncertain(value, known), value=value)
    return Cell()


def density_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[Block]:
    """Return a block for each name of spectral densities."""
    groups = of_kind(results, DensityResult)
    blocks = []
    for index, (name, densities) in enumerate(groups.items()):
        figure = bare(density_figure(densities, colours=colours), l=64)
        alt = f"Spectral density on a logarithmic scale: {', '.join(densities)}"
        plot = Plot(f"density-{index}", alt, {"": figure}, caption=density_note(densities))
        heading = _heading("Spectral density", name, len(groups))
        legend = entries(list(densities), colours)
        shown = keys(name, list(densities))
        blocks.append(
            Block(f"density-block-{index}", heading, [plot], shown, caution=differences(densities), legend=legend)
        )
    return blocks


def layer_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[Block]:
    """Return a block for each name of layers: bars of the largest eigenvalue and of the trace."""
    groups = of_kind(results, LayersResult)
    blocks = []
    for index, (name, layers) in enumerate(groups.items()):
        plots = []
        for column, words in WORDS.items():
            if any(np.isfinite(getattr(found, column)).any() for found in layers.values()):
                figure = layers_figure(layers, columns=[column], colours=colours)
                height = int(figure.layout.height or 0)
                alt = f"{words} of each layer's own block: {', '.join(layers)}"
                caption = "Hatched: did not converge." if column == "top" and _is_open(layers) else ""
                title = words[0].upper() + words[1:]
                drawn = {"": bare(figure)}
                name_ = f"layers-{index}-{column}"
                plots.append(Plot(name_, alt, drawn, title=title, caption=caption, height=height))
        heading = _heading("Layers", name, len(groups))
        legend = entries(list(layers), colours)
        note = "Of each layer's own diagonal block. Error bars: bounds of eigenvalues, standard errors of traces."
        shown = keys(name, list(layers))
        blocks.append(
            Block(f"layers-block-{index}", heading, plots, shown, caution=differences(layers), note=note, legend=legend)
        )
    return blocks


def _is_open(layers: Mapping[str, LayersResult]) -> bool:
    return any(bool((~found.converged).any()) for found in layers.values())


def convexity_blocks(results: Mapping[str, Result]) -> list[Block]:
    """Return a block for each name of convexity maps: a map per checkpoint, on one colour scale."""
    groups: dict[str, dict[str, SurfaceResult]] = {}
    for name, found in of_kind(results, SurfaceResult).items():
        maps = {label: surface for label, surface in found.items() if is_convexity(surface)}
        if maps:
            groups[name] = maps
    blocks = []
    for index, (name, maps) in enumerate(groups.items()):
        top = float(convexity_figure(maps).data[0].zmax)
        plots = []
        for number, (label, surface) in enumerate(maps.items()):
            figure = bare(convexity_figure({label: surface}, clip=top), t=12)
            alt = f"Convexity map of {label}: smallest over largest Hessian eigenvalue, as magnitudes, over the plane"
            plots.append(Plot(f"convexity-{index}-{number}", alt, {"": figure}, title=label))
        heading = _heading("Convexity map", name, len(groups))
        note = f"|λ_min / λ_max| of the Hessian (Li et al. 2018): dark is convex. {convexity_note(maps)}".strip()
        shown = keys(name, list(maps))
        blocks.append(
            Block(
                f"convexity-block-{index}",
                heading,
                plots,
                shown,
                caution=differences(maps),
                note=note,
                columns=min(len(maps), 3),
            )
        )
    return blocks


def _heading(words: str, name: str, count: int) -> str:
    return f"{words} · {name}" if count > 1 else words
