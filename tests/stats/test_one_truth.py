"""For the same results the terminal and the report give the same numbers, signs and verdicts."""

import dataclasses
import math

import numpy as np
import pytest
from cases import synthetic

from landscape.cli.tables.sharpness import print_sharpness, summaries
from landscape.cli.tables.width import print_widths
from landscape.figures.blocks.tables import Ranked, measures_table
from landscape.figures.plots.basin_width import width_texts
from landscape.figures.plots.sharpness_bars import measures
from landscape.figures.report.paired_seeds import comparisons, paired_table
from landscape.figures.report.summary import checkpoints, key_numbers, summary_table
from landscape.figures.report.verdict import verdict
from landscape.results import LineResult, MeasureResult, SharpnessResult, points_table
from landscape.stats import number_format
from landscape.stats.comparison.paired_difference import paired_difference


def measured(seed: int, shift: float, **attributes: object) -> SharpnessResult:
    """SAM sharpness whose per-example values share most of their noise, a maximum without error, and λ_max."""
    common = np.random.default_rng(0).normal(size=60)
    values = 1.0 + shift + common + 0.02 * np.random.default_rng(seed).normal(size=60)
    samples = {"unit": "examples", "count": 60, "samples": values.tolist()}
    stderr = values.std(ddof=1) / math.sqrt(60)
    measures = (
        MeasureResult("sam", "SAM", values.mean(), stderr, "rise", 2, {"rho": 0.05}, samples),
        MeasureResult("keskar", "Keskar", 2.0 + shift, math.nan, "lower bound of the maximum", 20),
        MeasureResult("top", "λ_max by power", 3.0 + shift, math.nan, "an eigenvalue", 20, {}, {"bound": 0.01}),
    )
    common_attributes = {"examples": {"train": 60}, "subset": 60, "subset_seed": 0}
    return SharpnessResult(measures, {**common_attributes, **attributes})


PAIRED = {"a": measured(1, 0.0), "b": measured(2, 0.1)}
REVERSED = {"b": PAIRED["b"], "a": PAIRED["a"]}
OLD = {
    label: SharpnessResult(tuple(dataclasses.replace(m, diagnostics={}) for m in r.measures), r.attributes)
    for label, r in PAIRED.items()
}
OTHER = {"a": PAIRED["a"], "b": measured(2, 0.1, subset_seed=1)}


def terminal_rows(out: str) -> dict[str, list[list[str]]]:
    """Rows of the terminal's table by measure: rank, checkpoint, value, difference from the flattest."""
    rows: dict[str, list[list[str]]] = {}
    for line in out.splitlines():
        if line.startswith("│"):
            label, *cells = (cell.strip() for cell in line.strip("│").split("│"))
            rows.setdefault(label or list(rows)[-1], []).append(cells)
    return rows


@pytest.mark.parametrize("results", [PAIRED, REVERSED, OLD, OTHER], ids=["paired", "reversed", "old file", "other"])
def test_sharpness_of_two_checkpoints(results, capsys) -> None:
    print_sharpness(results)
    captured = capsys.readouterr()
    terminal = terminal_rows(captured.out)
    first, second = results
    rows = key_numbers(checkpoints({f"{label}/sharpness": result for label, result in results.items()}))
    page = {row[0].text: row[1:] for row in summary_table(rows, [first, second]).rows}
    table = measures_table(Ranked(list(results), measures(results), results))
    lower = {row[0].text: row[1:] for row in table.rows}
    assert terminal.keys() == page.keys() == lower.keys()
    clearly = 0
    for label, (flattest, sharper) in terminal.items():
        assert flattest[1] == "a"
        difference = sharper[3].partition(" (")[0]
        if second == "a":
            difference = difference.replace("+", "−", 1)
        remark = sharper[3].partition(" (")[2].rstrip(")")
        for cells in (page[label], lower[label]):
            by_label = dict(zip((first, second), cells, strict=False))
            assert by_label["a"].text == flattest[2].removesuffix(" (bound)")
            assert by_label["b"].text == sharper[2].removesuffix(" (bound)")
            assert cells[2].text == difference
            assert remark.removeprefix("bound") in cells[2].small
        said = [s for s in verdict(rows, [first, second]) if " is flatter by " in s and label in s]
        clear = summaries(results)["b"]["measures"][list(terminal).index(label)]["above_flattest_clear"]
        assert bool(said) is clear
        clearly += clear
    assert f"a is flattest by 3 of 3 measures, clearly by {clearly} of them" in captured.err
    assert clearly == (0 if results is OLD else 1 if results is OTHER else 2)


def test_pairing_settles_what_independent_errors_do_not() -> None:
    paired, independent = (summaries(results)["b"]["measures"][0] for results in (PAIRED, OTHER))
    assert paired["above_flattest_stderr"] < 0.1 * independent["above_flattest_stderr"]
    assert (paired["above_flattest_clear"], independent["above_flattest_clear"]) == (True, False)


def test_basin_widths(capsys) -> None:
    width = [{"rise": 0.1, "left": 0.25, "right": 0.5}, {"rise": 1.0, "left": math.nan, "right": 0.75}]
    other = [{"rise": 0.1, "left": 0.3, "right": 0.45}, {"rise": 1.0, "left": math.nan, "right": math.nan}]
    lines = [
        LineResult(np.linspace(-1, 1, 3), ("train",), ("loss",), points_table([]), {"width": w, "family": "line"})
        for w in (width, other)
    ]
    print_widths({f"a/line-d{index}": line for index, line in enumerate(lines)})
    (row,) = terminal_rows(capsys.readouterr().out).values()
    words = dict(width_texts(lines))
    for rise, cells in zip((0.1, 1.0), row, strict=True):
        assert cells[1] in words[rise]
        assert cells[2] in words[rise]
    assert "not reached by 3 of 4" in words[1.0]


def test_seeds() -> None:
    """The report's paired differences are those that `landscape train --seeds` prints of the same values."""
    named = checkpoints(synthetic.pair_of_recipes())
    rows = key_numbers(named)
    (compared,) = comparisons(named, rows)
    page = {row[0].text: row[-1].text for row in paired_table(compared).rows}
    pairs = compared.labels
    for quantity, fraction in (("Test loss", False), ("Test accuracy", True), ("Generalization gap", False)):
        (row,) = (row for row in rows if row.label == quantity)
        first, second = ([row.numbers[pair[side]].value for pair in pairs] for side in (0, 1))
        paired = paired_difference(first, second)
        assert page[quantity] == number_format.change(paired.mean, paired.half, fraction=fraction)
    assert page["Test accuracy"].startswith("+")  # SAM − Adam: SAM is better
    assert "λ_max (−" in verdict(rows, list(named), [compared])[0]
