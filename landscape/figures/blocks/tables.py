"""Tables of the page: cells hold the number behind their text, so that rows can be sorted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from landscape.figures.plots.spectrum import rank_name
from landscape.results import MeasureResult, SharpnessResult, SpectrumResult
from landscape.stats import number_format
from landscape.stats.comparison.difference import Estimate, difference
from landscape.stats.comparison.ranking import measure_estimate

PAIRING = (
    "The difference's ± is the standard error of paired differences (same examples, same random numbers), unless it "
    "says otherwise."
)


@dataclass(frozen=True)
class Head:
    """The head of a column."""

    text: str
    small: str = ""
    checkpoint: str = ""  # whose colour it carries


@dataclass(frozen=True)
class Cell:
    """One entry: its text, and the number behind it."""

    text: str = ""
    small: str = ""  # a second line
    value: float = math.nan  # what sorting goes by
    share: float = math.nan  # length of a bar, of the largest in its row or column
    checkpoint: str = ""  # whose colour the bar or row head carries

    @property
    def key(self) -> str:
        """Sort key of the page's script: the number if there is one, else the text."""
        return repr(float(self.value)) if not math.isnan(self.value) else self.text


@dataclass(frozen=True)
class Table:
    """A head, and rows whose first cell names them."""

    name: str  # the text alternative
    head: list[Head]
    rows: list[list[Cell]]
    note: str = ""
    caution: str = ""
    folded: str = ""  # the words that unfold it; empty for a table in plain sight
    sortable: bool = False
    heading: str = ""


@dataclass(frozen=True)
class Ranked:
    """Measures that were taken of some checkpoints, by measure and then by checkpoint."""

    labels: list[str]
    measures: Mapping[str, Mapping[str, MeasureResult]] = field(default_factory=dict)
    results: Mapping[str, SharpnessResult] = field(default_factory=dict)  # whose attributes hold bounds and group means

    def estimates(self, name: str) -> dict[str, Estimate]:
        """Return one measure of each checkpoint with its uncertainty and the group means that pairing needs."""
        return {
            label: measure_estimate(measure, self.results[label].attributes if label in self.results else {})
            for label, measure in self.measures[name].items()
        }


def measures_table(ranked: Ranked, *, folded: str = "") -> Table:
    """Return the measures down and up to two checkpoints across; of more, checkpoints down and measures across."""
    shares = {name: _shares(by_label) for name, by_label in ranked.measures.items()}
    if len(ranked.labels) <= 2:
        head = [Head("Measure"), *(Head(label, checkpoint=label) for label in ranked.labels)]
        if len(ranked.labels) == 2:
            head.append(Head("Difference", small=f"{ranked.labels[1]} − {ranked.labels[0]}"))
        rows = [_measure_row(name, ranked, shares[name]) for name in ranked.measures]
    else:
        first = {name: next(iter(by_label.values())) for name, by_label in ranked.measures.items()}
        head = [Head("Checkpoint"), *(Head(name, small=first[name].meaning) for name in ranked.measures)]
        rows = [
            [Cell(label, checkpoint=label)]
            + [_cell(ranked.estimates(name).get(label), shares[name].get(label), label) for name in ranked.measures]
            for label in ranked.labels
        ]
    note = "Lower is flatter. ± is one standard error; a number without it has no sampling error of its own. "
    if len(ranked.labels) == 2:
        note += PAIRING
    return Table("Sharpness measures", head, rows, note=note.strip(), sortable=True, folded=folded)


def eigenvalue_table(spectra: Mapping[str, SpectrumResult]) -> Table:
    """Return rows of rank and, per checkpoint, the eigenvalue with its bound; unconverged ones say so."""
    cells: dict[int, dict[str, Cell]] = {}
    for label, spectrum in spectra.items():
        tops, bottoms = np.flatnonzero(spectrum.ends == 1), np.flatnonzero(spectrum.ends == -1)
        ranked = [(rank + 1, at) for rank, at in enumerate(tops)] + [(-r - 1, at) for r, at in enumerate(bottoms[::-1])]
        for rank, at in ranked:
            value = float(spectrum.eigenvalues[at])
            text = number_format.uncertain(value, float(spectrum.bounds[at]))
            small = "" if spectrum.converged[at] else "not converged"
            cells.setdefault(rank, {})[label] = Cell(text, small, value)
    order = sorted(cells, key=lambda rank: (rank < 0, rank))
    rows = [[Cell(rank_name(rank)), *(cells[rank].get(label, Cell()) for label in spectra)] for rank in order]
    head = [Head("Eigenvalue"), *(Head(label, checkpoint=label) for label in spectra)]
    return Table("Eigenvalues", head, rows, folded="The eigenvalues as a table")


def _measure_row(name: str, ranked: Ranked, shares: dict[str, float]) -> list[Cell]:
    labels, estimates = ranked.labels, ranked.estimates(name)
    first = next(iter(ranked.measures[name].values()))
    passes = f"; {first.evaluations:,} passes" if first.evaluations else ""
    row = [Cell(name, small=f"{first.meaning}{passes}")]
    row += [_cell(estimates.get(label), shares.get(label), label) for label in labels]
    if len(labels) == 2:
        row.append(_difference(*map(estimates.get, labels)))
    return row


def _cell(estimate: Estimate | None, share: float | None, label: str) -> Cell:
    if estimate is None:
        return Cell()
    text = number_format.uncertain(estimate.value, estimate.uncertainty)
    small = "bound" if math.isfinite(estimate.bound) else ""
    return Cell(text, small, estimate.value, share=math.nan if share is None else share, checkpoint=label)


def _difference(first: Estimate | None, second: Estimate | None) -> Cell:
    if first is None or second is None:
        return Cell()
    apart = difference(first, second)
    text = number_format.change(apart.value, apart.uncertainty)
    remarks = [ratio(first.value, second.value), "bound" if math.isfinite(apart.bound) else apart.unpaired]
    return Cell(text, small=", ".join(filter(None, remarks)), value=apart.value)


def ratio(first: float, second: float) -> str:
    """Return "× 1.7" for the second in units of the first; empty where that says nothing."""
    if not (first > 0 and second > 0 and math.isfinite(first) and math.isfinite(second)):
        return ""
    return f"× {number_format.number(second / first, 3)}"


def _shares(by_label: Mapping[str, MeasureResult]) -> dict[str, float]:
    """Return each checkpoint's value as a share of the largest one."""
    finite = {label: abs(m.value) for label, m in by_label.items() if math.isfinite(m.value)}
    most = max(finite.values(), default=0.0)
    return {label: round(value / most, 4) for label, value in finite.items()} if most > 0 else {}
