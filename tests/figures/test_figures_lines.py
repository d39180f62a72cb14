"""Lines as bands, basin widths, barriers; training curves of several seeds; sharpness over ρ."""

import dataclasses

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.figure import compare, figure
from landscape.figures.grouping.families import families, is_between, seeds
from landscape.figures.kinds.line import line_blocks
from landscape.figures.plots.basin_width import width_words
from landscape.figures.plots.history import history_figure
from landscape.figures.plots.line import line_figure
from landscape.figures.plots.sharpness_curves import curves_figure, swept
from landscape.figures.style import bands
from landscape.results import Measure, SharpnessResult


def curves(drawn):
    return [trace for trace in drawn.data if not trace.fill and not (trace.meta or {}).get("mark")]


# families of lines


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


def test_families_of_a_file_by_family_and_checkpoint():
    results = {**kinds.seeded_lines("a", 3), **kinds.seeded_lines("b", 2), "b/zoom": kinds.make.line("b")}
    results |= {"a..b/between": kinds.make.between(), "a/plane": kinds.make.surface("a")}
    found = families(results)
    assert {name: {label: len(lines) for label, lines in by.items()} for name, by in found.items()} == {
        "line": {"a": 3, "b": 2},
        "zoom": {"b": 1},
    }


def test_lines_of_one_name_on_other_axes_are_shown_apart():
    """A single line, and a family of the same name at other points: a report of both ended with a traceback."""
    results = {**kinds.seeded_lines("a", 2), **kinds.seeded_lines("b", 2, n=5)}
    results |= {"a/line": kinds.make.line("a", n=7), "b/line": kinds.make.line("b", n=7)}
    assert {name: {label: len(lines) for label, lines in by.items()} for name, by in families(results).items()} == {
        "line": {"a": 2, "b": 2},
        "line, 7 points": {"a": 1, "b": 1},
    }
    assert [block.heading for block in line_blocks(results, {"a": 0, "b": 1})] == ["line", "line, 7 points"]


def test_the_spread_leaves_out_nan_and_keeps_what_diverges():
    rows = [
        np.array([1.0, np.nan, np.nan, 2.0]),
        np.array([3.0, 5.0, np.nan, np.inf]),
        np.array([2.0, 7.0, np.nan, 1.0]),
    ]
    least, _, middle, _, most = bands.spread(rows)
    np.testing.assert_array_equal(middle, [2.0, 6.0, np.nan, 2.0])
    np.testing.assert_array_equal(least, [1.0, 5.0, np.nan, 1.0])
    np.testing.assert_array_equal(most, [3.0, 7.0, np.nan, np.inf])


# widths and barriers


def test_widths_are_brackets_at_the_median_radii_above_the_centre():
    drawn = line_figure(kinds.seeded_lines("a", 5, scale=0.6), metrics=["loss"], log=False)
    marks = [trace for trace in drawn.data if (trace.meta or {}).get("mark") == "width"]
    assert [mark.y[0] for mark in marks] == pytest.approx([0.5 + 0.1, 0.5 + 1.0])
    radii = np.sqrt(0.1 / (0.6 * np.arange(1, 6)))
    assert list(marks[0].x) == pytest.approx([-np.median(radii), np.median(radii) / np.sqrt(1.5)])
    both = np.concatenate([radii, radii / np.sqrt(1.5)])
    words = dict(width_words(list(kinds.seeded_lines("a", 5, scale=0.6).values())))
    assert float(words[0.1].split()[0]) == pytest.approx(np.median(both), rel=0.01)
    assert words[1.0].endswith("not reached by 2 of 10")  # the flattest, c = 0.6, on both sides
    beyond = np.concatenate([np.sqrt(1 / (0.6 * np.arange(1, 6))), np.sqrt(1 / (0.9 * np.arange(1, 6)))])
    assert float(words[1.0].split()[0]) == pytest.approx(np.median(beyond), rel=0.01)  # such count as the largest
    rare = kinds.seeded_lines("a", 2, scale=0.4)  # radii of 1.58 and 1.29, 1.12 and 0.91
    assert dict(width_words(list(rare.values())))[1.0].startswith("> 1 (> 1 to > 1)")
    assert not [t for t in line_figure(kinds.seeded_lines("a", 5), widths=False).data if (t.meta or {}).get("mark")]


def test_a_width_that_is_nowhere_reached_is_said_and_not_drawn():
    line = kinds.make.line("a", width=[{"rise": 50.0, "left": float("nan"), "right": float("nan")}])
    assert width_words(line) == [(50.0, "not reached")]
    assert not [trace for trace in figure(line).data if (trace.meta or {}).get("mark")]
    one = kinds.make.line("a", width=[{"rise": 1.0, "left": float("nan"), "right": 0.5}])
    (mark,) = [trace for trace in figure(one).data if (trace.meta or {}).get("mark")]
    assert list(mark.x) == [0.0, 0.5]


def test_the_barrier_as_commands_store_it_stands_on_the_line_between_the_ends_with_its_error():
    alpha = np.linspace(-0.5, 1.5, 9)  # the line goes on beyond both ends
    rows = kinds.make.rows(
        alpha, [0.0], ("train", "test"), ("loss",), lambda t, _, s: 1 + s + t + 2 * np.sin(np.pi * t)
    )
    barrier = {s: {"loss": {"value": 2.0, "stderr": 0.25, "at": 0.5}} for s in ("train", "test")}
    line = dataclasses.replace(
        kinds.make.between("a", "b", barrier=barrier),
        alpha=alpha,
        splits=("train", "test"),
        points=kinds.points_table(rows),
    )
    drawn = figure(line)
    (mark,) = [trace for trace in drawn.data if (trace.meta or {}).get("mark") == "barrier"]
    assert list(mark.x) == [0.5, 0.5]
    assert list(mark.y) == pytest.approx([1.5, 3.5])  # between losses 1 and 2 at t = 0 and 1, not those at ±0.5
    assert list(mark.error_y.array) == [0, 0.25]
    assert "2.00 ± 0.25" in mark.name


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


# seeds of training


def test_runs_that_differ_in_nothing_but_the_seed_are_grouped_by_recipe():
    runs = {**kinds.seeded_histories("sam", 3), **kinds.seeded_histories("adam", 2)}
    assert seeds(runs) == {"sam": ["sam-s0", "sam-s1", "sam-s2"], "adam": ["adam-s0", "adam-s1"]}
    other = dataclasses.replace(runs["sam-s0"], attributes={**runs["sam-s0"].attributes, "model": "resnet56"})
    assert set(seeds({**runs, "big": other})) == {"sam, resnet20, digits", "sam, resnet56, digits", "adam"}
    assert seeds({"x": kinds.make.history("x")}) == {"x": ["x"]}


@pytest.mark.parametrize("x", ["epoch", "seconds"])
def test_histories_by_recipe_are_medians_over_the_seeds(x):
    runs = kinds.seeded_histories("sam", 3)
    drawn = history_figure(runs, metrics=["loss"], x=x, by="recipe")
    train = curves(drawn)[0]
    np.testing.assert_array_equal(train.y, np.median([run.columns["train_loss"] for run in runs.values()], axis=0))
    np.testing.assert_array_equal(train.x, np.median([run.columns[x] for run in runs.values()], axis=0))
    assert train.name == "sam · train (median of 3)"
    assert len(curves(history_figure(runs, metrics=["loss"]))) == 6


def test_a_run_that_stopped_early_and_a_validation_split_are_drawn():
    runs = kinds.seeded_histories("sam", 2)
    short = {name: column[:2] for name, column in runs["sam-s1"].columns.items()}
    runs["sam-s1"] = dataclasses.replace(runs["sam-s1"], columns=short)
    train = curves(history_figure(runs, metrics=["loss"], by="recipe"))[0]
    np.testing.assert_array_equal(train.y[2:], runs["sam-s0"].columns["train_loss"][2:])
    history = kinds.make.history()
    held = dataclasses.replace(history, columns={**history.columns, "validation_loss": history.columns["test_loss"]})
    assert [t.name for t in history_figure({"a": held}, metrics=["loss"]).data] == [
        "a · train",
        "a · validation",
        "a · test",
    ]


# sharpness over ρ


def test_measures_over_rho_are_curves_with_bands_of_one_standard_error():
    results = {"a": kinds.sweep("a"), "b": kinds.sweep("b", 3.0)}
    assert set(swept(results)) == {
        "SAM sharpness", "worst-case sharpness, p = 2", "worst-case sharpness, p = inf",
    }  # fmt: skip
    drawn = curves_figure(results)
    sam = [trace for trace in curves(drawn) if trace.xaxis == "x"]
    for trace, scale in zip(sam, (1.0, 3.0), strict=True):
        np.testing.assert_array_equal(trace.x, [0.01, 0.02, 0.05, 0.1])
        np.testing.assert_allclose(trace.y, scale * trace.x**2)
    band = drawn.data[0]
    np.testing.assert_allclose(band.y[:4], 1.1 * np.array([0.01, 0.02, 0.05, 0.1]) ** 2)
    assert drawn.layout.xaxis.type == "log"
    assert list(drawn.layout.xaxis.ticktext) == ["0.01", "0.02", "0.05", "0.1"]
    assert sum(trace.showlegend is not False for trace in curves(drawn)) == 2


def test_m_sharpness_runs_over_m_and_settings_that_differ_are_not_joined():
    found = swept({"a": kinds.sweep("a")}, over="m")
    assert {name: [m.parameters["m"] for m in by["a"]] for name, by in found.items()} == {
        "m-sharpness, ρ = 0.05": [32, 64, 128]
    }
    pairs = [
        Measure("average", f"average-case sharpness, ρ = {rho}", rho, np.nan, "", 1, {"rho": rho, "adaptive": adaptive})
        for rho in (0.1, 0.2)
        for adaptive in (True, False)
    ]
    names = swept({"a": SharpnessResult(tuple(pairs))})
    assert {name: len(by["a"]) for name, by in names.items()} == {
        "average-case sharpness": 2,
        "average-case sharpness (2)": 2,
    }


def test_what_was_taken_once_is_no_curve():
    with pytest.raises(LandscapeError, match="at several ρ"):
        curves_figure({"a": kinds.make.sharpness("a")})
