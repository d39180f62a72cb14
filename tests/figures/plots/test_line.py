"""Lines: values, bands of error and of families, colours and axes."""

import dataclasses

import numpy as np
import pytest
from cases import kinds
from cases import synthetic as make

from landscape.figures.figure import compare
from landscape.figures.grouping.families import families, is_between
from landscape.figures.kinds.line import line_blocks
from landscape.figures.plots.line import line_figure


def test_line_shows_values_and_bands_of_one_standard_error():
    line = make.line()
    drawn = line_figure({"a": line}, metrics=["loss"], log=False)
    bands = [trace for trace in drawn.data if trace.fill]
    curves = [trace for trace in drawn.data if not trace.fill]
    for index, (curve, band) in enumerate(zip(curves, bands, strict=True)):
        np.testing.assert_array_equal(curve.x, line.alpha)
        np.testing.assert_array_equal(curve.y, line.grid()[index])
        np.testing.assert_allclose(band.y[: len(line.alpha)], line.grid()[index] + 0.01)
        np.testing.assert_allclose(band.y[len(line.alpha) :][::-1], line.grid()[index] - 0.01)
    assert curves[0].line.dash != curves[1].line.dash
    assert curves[0].line.color == curves[1].line.color


def test_lines_of_several_checkpoints_have_their_own_colours_and_survive_divergence():
    wild = make.line("b", value=lambda a, b, s: np.inf if a > 0.9 else make.loss(a, b, s))
    drawn = line_figure({"a": make.line("a"), "b": wild}, metrics=["loss"])
    curves = [trace for trace in drawn.data if not trace.fill]
    assert len({curve.line.color for curve in curves}) == 2
    assert np.isnan(curves[-1].y[-1])


def curves(drawn):
    return [trace for trace in drawn.data if not trace.fill and not (trace.meta or {}).get("mark")]


def test_lines_of_one_checkpoint_and_family_are_one_band_about_their_median():
    lines = kinds.seeded_lines("a", 5)
    drawn = line_figure(lines, metrics=["loss"], log=False)
    train, test = curves(drawn)
    stack = np.stack([line.grid("loss") for line in lines.values()])
    np.testing.assert_array_equal(train.y, np.median(stack, axis=0)[0])
    np.testing.assert_array_equal(test.y, np.median(stack, axis=0)[1])
    assert train.name == "a · train (median of 5)"
    filled = [trace for trace in drawn.data if trace.fill]
    n = len(train.x)
    extremes, quartiles = filled[0], filled[1]
    np.testing.assert_array_equal(extremes.y[:n], stack[:, 0].max(axis=0))
    np.testing.assert_array_equal(extremes.y[n:][::-1], stack[:, 0].min(axis=0))
    np.testing.assert_array_equal(quartiles.y[:n], np.quantile(stack[:, 0], 0.75, axis=0))
    np.testing.assert_array_equal(quartiles.y[n:][::-1], np.quantile(stack[:, 0], 0.25, axis=0))


def test_two_checkpoints_give_two_bands_in_two_colours_and_a_sequence_is_a_family():
    both = {**kinds.seeded_lines("a", 3), **kinds.seeded_lines("b", 4)}
    drawn = line_figure(both, metrics=["loss"], colours={"a": 4, "b": 2})
    assert [trace.meta["series"] for trace in curves(drawn)] == [4, 4, 2, 2]
    grouped = line_figure({"sam": list(kinds.seeded_lines("a", 3).values())}, metrics=["loss"])
    assert [trace.name for trace in curves(grouped)] == ["sam · train (median of 3)", "sam · test (median of 3)"]


def test_lines_on_other_axes_or_without_a_family_stay_apart():
    lines = kinds.seeded_lines("a", 2)
    other = kinds.seeded_lines("a", 1, n=5)
    plain = {"plain": kinds.make.line("a")}
    drawn = line_figure({**lines, "a/line-d9": other["a/line-d0"], **plain}, metrics=["loss"])
    names = [trace.name for trace in curves(drawn)]
    assert names == [
        "a · train (median of 2)", "a · test (median of 2)", "a/line-d9 · train", "a/line-d9 · test",
        "plain · train", "plain · test",
    ]  # fmt: skip


def test_lines_of_one_name_on_other_axes_are_shown_apart():
    """A single line, and a family of the same name at other points: a report of both ended with a traceback."""
    results = {**kinds.seeded_lines("a", 2), **kinds.seeded_lines("b", 2, n=5)}
    results |= {"a/line": kinds.make.line("a", n=7), "b/line": kinds.make.line("b", n=7)}
    assert {name: {label: len(lines) for label, lines in by.items()} for name, by in families(results).items()} == {
        "line": {"a": 2, "b": 2},
        "line, 7 points": {"a": 1, "b": 1},
    }
    headings = [block.heading for block in line_blocks(results, {"a": 0, "b": 1})]
    assert headings == ["Along 2 random directions", "Along a random direction"]


def test_a_straight_line_and_a_curve_between_the_same_two_are_drawn_together():
    straight, curve = kinds.make.between("a", "b"), kinds.bezier("a", "b")
    assert is_between(curve)
    drawn = compare({"straight": straight, "curve": curve})
    assert [trace.name for trace in curves(drawn)] == ["straight · train", "curve · train"]
    marks = [trace for trace in drawn.data if (trace.meta or {}).get("mark") == "barrier"]
    assert [mark.y[1] - mark.y[0] for mark in marks] == pytest.approx([2.0, 0.2])
    assert len({mark.line.color for mark in marks}) == 2


def test_bands_that_reach_beyond_the_curves_are_inside_the_axis():
    line = kinds.make.line("a")
    rows = line.points.copy()
    rows["stderr"] = 0.2
    drawn = line_figure({"a": dataclasses.replace(line, points=rows)}, metrics=["loss"], log=False)
    low, high = drawn.layout.yaxis.range
    filled = np.concatenate([trace.y for trace in drawn.data if trace.fill])
    assert low <= filled.min()
    assert high >= filled.max()
