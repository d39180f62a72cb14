"""Eigenvalues: figure, block with a table, provenance and CSV columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from landscape.figures.blocks.alternatives import PageBlock, alternatives
from landscape.figures.blocks.block import (
    Block,
    Plot,
    legend_entries,
    result_keys,
    results_by_name,
    strip_layout,
)
from landscape.figures.blocks.tables import Cell, Head, Table, eigenvalue_table
from landscape.figures.grouping.comparability import cautions, listed
from landscape.figures.grouping.headings import distinct, largest_sample, matrix_text, with_sample
from landscape.figures.kinds.result_kind import Columns, ResultKind
from landscape.figures.plots.spectrum import spectrum_figure
from landscape.results import (
    Result,
    SpectrumResult,
)
from landscape.stats import number_format


def spectrum_blocks(results: Mapping[str, Result], colours: Mapping[str, int]) -> list[PageBlock]:
    """Return a block for each name of spectra: the eigenvalues with their bounds, and as a table."""
    groups = results_by_name(results, SpectrumResult)
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
        plot = Plot(
            f"spectrum-{index}", alt, {"": strip_layout(spectrum_figure(spectra, colours=colours))}, caption=caption
        )
        title = with_sample(f"{_ends(spectra)} eigenvalues{matrix_text(spectra.values())}", spectra.values())
        tables = [table for table in (_estimates(spectra), eigenvalue_table(spectra)) if table is not None]
        legend = legend_entries(list(spectra), colours)
        shown = result_keys(name, list(spectra))
        blocks.append(
            Block(
                f"spectrum-block-{index}",
                title,
                [plot],
                shown,
                caution=cautions(spectra),
                legend=legend,
                tables=tables,
            )
        )
    named = [list(spectra.values()) for spectra in groups.values()]
    texts = distinct([_count_text(spectra) for spectra in named], list(groups))
    return alternatives(blocks, texts, legend="Eigenvalues", chosen=largest_sample(named))


def _ends(spectra: Mapping[str, SpectrumResult]) -> str:
    return "Largest and smallest" if any(np.any(s.ends == -1) for s in spectra.values()) else "Largest"


def _count_text(spectra: Sequence[SpectrumResult]) -> str:
    """Return "5 eigenvalues (5,000 examples)"."""
    count = max(len(spectrum.ends) for spectrum in spectra)
    return with_sample(f"{count} eigenvalue{'s' * (count != 1)}{matrix_text(spectra)}", spectra)


def _of_subsets(spectra: Mapping[str, SpectrumResult]) -> str:
    """Return a note on the largest eigenvalue over subsets of the examples; empty without subsets."""
    by_label = {label: s.attributes["subsets"] for label, s in spectra.items() if "subsets" in s.attributes}
    if not by_label:
        return ""
    notes = [
        f"{label} {number_format.uncertain(float(spectra[label].eigenvalues[0]), float(subsets['stderr'][0]))} "
        f"over {subsets['count']} subsets of {max(subsets['examples']):,} examples"
        for label, subsets in by_label.items()
    ]
    return f" Means over disjoint subsets; the first eigenvalue with its standard error over them: {'; '.join(notes)}."


def _estimates(spectra: Mapping[str, SpectrumResult]) -> Table | None:
    """Return a table of what was estimated beside the eigenvalues: trace, Frobenius norm, effective rank, λ₁/λ₅."""
    titles = {"trace": "Trace", "frobenius": "Frobenius norm", "effective_rank": "Effective rank", "ratio_5": "λ₁ / λ₅"}
    rows = []
    for key, name in titles.items():
        cells = [_estimate(spectrum.attributes.get(key)) for spectrum in spectra.values()]
        if any(cell.text for cell in cells):
            methods = {str(a["method"]) for s in spectra.values() if isinstance(a := s.attributes.get(key), Mapping)}
            rows.append([Cell(name, small=", ".join(sorted(methods))), *cells])
    head = [Head("Estimate"), *(Head(label, checkpoint=label) for label in spectra)]
    return Table("Estimates of the whole spectrum", head, rows, note="± is one standard error.") if rows else None


def _estimate(estimate: object) -> Cell:
    if isinstance(estimate, int | float) and math.isfinite(estimate):
        return Cell(number_format.number(float(estimate)), value=float(estimate))
    if isinstance(estimate, Mapping) and isinstance(estimate.get("value"), int | float):
        value, error = float(estimate["value"]), estimate.get("stderr")
        known = float(error) if isinstance(error, int | float) else math.nan
        return Cell(number_format.uncertain(value, known), value=value)
    return Cell()


def _describe(result: SpectrumResult) -> str:
    tops, bottoms = int((result.ends == 1).sum()), int((result.ends == -1).sum())
    ends = listed([f"{n} {end}" for n, end in ((tops, "largest"), (bottoms, "smallest")) if n])
    operator = str(result.attributes.get("operator") or "curvature")
    return f"{ends} eigenvalues of the {operator}, {result.products} products"


def _table(result: SpectrumResult) -> Columns:
    return {
        "end": np.where(result.ends == 1, "top", "bottom"),
        "eigenvalue": result.eigenvalues,
        "residual": result.residuals,
        "bound": result.bounds,
        "converged": result.converged,
    }


KIND = ResultKind(SpectrumResult, spectrum_figure, "Curvature", spectrum_blocks, _describe, _table)
