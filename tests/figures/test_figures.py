import base64
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from cases import synthetic as make

from landscape.errors import LandscapeError
from landscape.figures.blocks import json_payload
from landscape.figures.figure import compare, figure
from landscape.figures.plots.barrier import barrier, endpoints
from landscape.figures.plots.history import history_figure
from landscape.figures.plots.line import line_figure
from landscape.figures.plots.sharpness_bars import sharpness_figure
from landscape.figures.plots.spectrum import spectrum_figure
from landscape.figures.plots.surfaces.grids import scale_of, values
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.figures.style import theme
from landscape.figures.style.scale import choose_scale, clips
from landscape.stats import number_format

HOSTILE = "</script><img src=x onerror=alert(1)>"


def bowl(n=51, sharp=1.0):
    axis = np.linspace(-1, 1, n)
    return sharp * (axis[None, :] ** 2 + axis[:, None] ** 2) + 0.01


# surfaces


@pytest.mark.parametrize("view", ["3d", "contour"])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_surface_shows_the_grid_as_measured(view, split, metric):
    surface = make.surface(nx=7, ny=5)
    main = figure(surface, view=view, metric=metric, split=split, log=False).data[0]
    expected = surface.grid(metric)[surface.splits.index(split)]
    assert expected.shape == (5, 7)
    np.testing.assert_array_equal(main.z, expected)
    np.testing.assert_array_equal(main.x, surface.alpha)
    np.testing.assert_array_equal(main.y, surface.beta)


@pytest.mark.parametrize("view", ["3d", "contour"])
def test_surface_runs_along_alpha_in_x_and_beta_in_y(view):
    main = figure(make.surface(nx=7, ny=5), view=view, log=False).data[0]
    for y, x in ((0, 6), (4, 0), (1, 2)):
        assert main.z[y][x] == pytest.approx(make.loss(main.x[x], main.y[y], 0))


def test_log_heights_are_log10_and_ticks_tell_values():
    surface = make.surface()
    drawn = figure(surface, log=True)
    np.testing.assert_allclose(drawn.data[0].z, np.log10(surface.grid()[0]))
    axis = drawn.layout.scene.zaxis
    for height, label in zip(axis.tickvals, axis.ticktext, strict=True):
        assert 10**height == pytest.approx(float(label), rel=0.01)


def test_several_surfaces_share_one_scale_and_their_ranges_hold_all():
    small, large = make.surface("a"), make.surface("b", value=lambda a, b, s: 3 * make.loss(a, b, s))
    drawn = surface_figure({"a": small, "b": large}, log=False)
    reliefs = [trace for trace in drawn.data if trace.type == "surface"]
    assert len({(relief.cmin, relief.cmax) for relief in reliefs}) == 1
    assert drawn.layout.scene.zaxis.range == drawn.layout.scene2.zaxis.range
    assert reliefs[0].cmin == pytest.approx(small.grid()[0].min())
    assert reliefs[0].cmax == pytest.approx(large.grid()[0].max())


def test_divergence_is_drawn_beyond_the_scale_and_does_not_set_it():
    def diverge(points):
        corner = (points["alpha"] == 1) & (points["beta"] == 0.5) & (points["metric"] == 0)
        points["value"][corner] = [np.inf, 1e6]  # train, test
        points["value"][(points["alpha"] == -1) & (points["beta"] == 0.5) & (points["metric"] == 0)] = np.nan
        return points

    surface = make.surface(nx=21, ny=15, change=diverge)
    for split in ("train", "test"):
        drawn = figure(surface, split=split, log=False)
        relief = drawn.data[0]
        ordinary = values(make.surface(nx=21, ny=15), "loss", split)
        assert relief.cmax < 2 * ordinary.max()
        assert np.isfinite(relief.z[-1][-1])  # a wall, no hole
        assert relief.z[-1][-1] > drawn.layout.scene.zaxis.range[1]
        assert np.isnan(relief.z[-1][0])
        measured = relief.customdata[-1][-1][surface.splits.index(split)]
        assert measured == (np.inf if split == "train" else 1e6)  # hovering tells what was measured


def test_points_not_computed_are_holes():
    surface = make.surface(change=lambda points: points[points["beta"] < 0.3])
    assert not surface.complete
    z = np.array(figure(surface, log=False).data[0].z)
    np.testing.assert_array_equal(np.isnan(z), ~surface.computed())


def test_the_checkpoint_and_the_lowest_point_are_marked():
    surface = make.surface(nx=21, ny=15)
    relief, checkpoint, lowest = figure(surface, log=False).data
    assert (checkpoint.x[0], checkpoint.y[0]) == (0, 0)
    y, x = np.unravel_index(np.argmin(relief.z), relief.z.shape)
    assert (lowest.x[0], lowest.y[0]) == (surface.alpha[x], surface.beta[y]) != (0, 0)
    assert lowest.z[0] == pytest.approx(relief.z[y][x], abs=0.05 * (relief.cmax - relief.cmin))


def test_gap_is_test_minus_train_around_zero():
    surface = make.surface()
    main = figure(surface, split="gap").data[0]
    np.testing.assert_allclose(main.z, surface.grid()[1] - surface.grid()[0])
    assert main.cmin == -main.cmax
    accuracy = surface.grid("accuracy")
    np.testing.assert_allclose(values(surface, "accuracy", "gap"), accuracy[0] - accuracy[1])


def test_a_metric_or_split_that_was_not_measured_is_named():
    with pytest.raises(LandscapeError, match=r"among loss, accuracy.*, got 'top5'"):
        figure(make.surface(), metric="top5")
    with pytest.raises(LandscapeError, match="among train, got 'gap'"):
        figure(make.surface(splits=("train",)), split="gap")


# scales


def test_a_quadratic_bowl_is_shown_whole_and_its_scale_is_linear():
    scale = choose_scale([bowl()], log=False)
    assert scale.top == bowl().max()
    assert not scale.cut
    assert scale.note([bowl()]) == ""
    assert not choose_scale([bowl() + 1]).log


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("wild", [np.inf, 1e6, 1e300])
def test_divergent_corners_leave_the_basin_most_of_the_height(log, wild):
    array = bowl(sharp=10)
    array[40:, 40:] = wild
    scale = choose_scale([array], log=log)
    share = (scale.heights(bowl(sharp=10)).max() - scale.bottom) / (scale.top - scale.bottom)
    assert share > 0.5
    assert "121 of 2,601 points lie above" in scale.note([array])


def test_a_plane_that_diverges_almost_everywhere_still_shows_its_basin():
    array = bowl(sharp=3)
    array[array > 0.3] = np.inf
    assert choose_scale([array], log=False).top <= 0.31


def test_log_is_chosen_where_the_range_is_wide_and_possible():
    assert choose_scale([np.geomspace(0.01, 10, 50)]).log
    assert not choose_scale([np.linspace(1, 10, 50)]).log
    assert not choose_scale([np.linspace(-1, 100, 50)], log=True).log
    zeros = choose_scale([np.array([0.0, 1e-4, 1.0, 10.0])], log=True)
    assert zeros.heights(np.zeros(1))[0] == zeros.bottom


@pytest.mark.parametrize("values", [np.full(9, 2.0), np.zeros(9), np.full(9, np.nan), np.full(9, np.inf)])
def test_degenerate_values_still_have_a_scale(values):
    scale = choose_scale([values])
    assert scale.top > scale.bottom
    assert scale.step > 0
    assert clips([values]) == [] or max(clips([values])) == 2


def test_levels_are_even_in_log_and_contain_decades():
    scale = choose_scale([np.geomspace(0.003, 400, 100)], log=True)
    levels = np.arange(scale.start, scale.top, scale.step)
    assert 5 <= len(levels) <= 17
    assert any(abs(level) < 1e-9 for level in levels)


def test_height_limits_on_offer_rise_to_the_largest_value():
    offered = clips([np.array([0.01, 3.0, 700.0, np.inf])])
    assert offered == sorted(offered)
    assert offered[-1] == 700
    assert {1, 10, 100} <= set(offered)


def test_accuracy_is_never_clipped_nor_logarithmic():
    array = np.full((20, 20), 0.1)
    array[9:11, 9:11] = 1.0
    scale = scale_of([array], "accuracy", "train", log=True)
    assert (scale.log, scale.bottom, scale.top) == (False, 0.1, 1.0)
    assert all(label.endswith("%") for label in scale.labels)


# the other kinds


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


@pytest.mark.parametrize("log", [True, False])
def test_between_names_both_ends_and_marks_the_barrier(log):
    line = make.between("first", "second")
    drawn = figure(line, log=log)
    words = [note.text for note in drawn.layout.annotations]
    assert words[:2] == ["first", "second"]
    mark = next(trace for trace in drawn.data if trace.name and trace.name.startswith("barrier"))
    assert list(mark.x) == [0.5, 0.5]
    assert mark.y[0] == pytest.approx(0.15)
    assert mark.y[1] == pytest.approx(2.15)
    assert "2.00 ± 0.10" in mark.name
    label = drawn.layout.annotations[-1].y
    assert 0.15 < (10**label if log else label) < 2.15


def test_between_works_with_what_attributes_it_has():
    line = make.between(checkpoints=[], barrier=None)
    assert endpoints(line) == ("a", "b")
    assert barrier(line, "loss") is None
    per_split = make.between(barrier={"train": {"loss": {"value": 1.0, "at": 0.2}}})
    assert barrier(per_split, "loss") == {"value": 1.0, "at": 0.2, "split": "train"}


def test_spectrum_shows_bounds_and_flags_what_did_not_converge():
    spectrum = make.spectrum()
    drawn = spectrum_figure({"a": spectrum, "b": make.spectrum("b", 2.0)})
    trace = drawn.data[0]
    np.testing.assert_array_equal(trace.y, spectrum.eigenvalues)
    np.testing.assert_array_equal(trace.error_y.array, spectrum.bounds)
    assert list(trace.marker.symbol) == ["circle", "circle", "circle-open", "circle", "circle-open"]
    assert list(trace.text) == ["converged", "converged", "NOT CONVERGED", "converged", "NOT CONVERGED"]
    assert list(drawn.layout.xaxis.ticktext) == ["λ₁", "λ₂", "λ₃", "λₙ₋₁", "λₙ"]
    assert list(np.round(drawn.data[1].x - trace.x, 9)) == [pytest.approx(drawn.data[1].x[0] - trace.x[0])] * 5


def test_sharpness_shows_each_measure_on_its_own_axis():
    drawn = sharpness_figure({"a": make.sharpness("a"), "b": make.sharpness("b", sam=0.5)})
    assert [trace.x[0] for trace in drawn.data] == [1.8, 1.8, 0.012, 0.5, 1.2e-5, 1.2e-5]
    assert len({trace.xaxis for trace in drawn.data}) == 3
    assert drawn.data[2].error_x.array[0] == 0.0004
    assert drawn.data[0].error_x.array is None


@pytest.mark.parametrize("x", ["epoch", "gradient_evaluations", "seconds"])
def test_history_runs_along_what_was_asked(x):
    history = make.history()
    drawn = history_figure({"a": history}, x=x)
    assert len(drawn.data) == 4
    for trace, column in zip(drawn.data, ("train_loss", "test_loss", "train_accuracy", "test_accuracy"), strict=True):
        np.testing.assert_array_equal(trace.x, history.columns[x])
        np.testing.assert_array_equal(trace.y, history.columns[column])


def test_history_without_a_test_split_or_with_an_unknown_axis():
    history = make.history()
    train = {name: column for name, column in history.columns.items() if not name.startswith("test")}
    assert len(history_figure({"a": type(history)(columns=train)}).data) == 2
    with pytest.raises(LandscapeError, match="one of epoch"):
        history_figure({"a": history}, x="steps")


def test_every_result_has_a_figure():
    for result in make.everything("a", "b").values():
        assert len(figure(result).data) > 0
        assert len(figure(result, dark=True).data) > 0


def test_compare_refuses_a_mixture():
    with pytest.raises(LandscapeError, match="one kind to compare, got line, surface"):
        compare({"a": make.surface(), "b": make.line()})
    with pytest.raises(LandscapeError, match="got none"):
        compare({})


# names and numbers


def test_hostile_names_stay_text_in_every_figure():
    for key, result in make.everything(HOSTILE, "b").items():
        drawn = compare({HOSTILE: result, "b": result}, title=HOSTILE) if "between" not in key else figure(result)
        words = [value for value in _strings(drawn.to_plotly_json()) if "onerror" in value]
        assert words, key
        # Labels in `meta` are data for the page's script, everything else is Plotly's pseudo-HTML.
        assert all("&lt;" in word and "<img" not in word and "</" not in word for word in words), key


def _strings(part):
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for key, item in part.items():
            if key not in ("meta", "bdata"):
                yield from _strings(item)
    elif isinstance(part, list | tuple | np.ndarray):
        for item in part:
            yield from _strings(item)


def test_embedded_json_cannot_end_its_script_and_has_no_nan():
    data = {HOSTILE: [float("nan"), float("inf"), 1 / 3], "&": np.linspace(0, 1, 40), "short": np.array([1.5, np.nan])}
    text = str(json_payload.script_json(data))
    assert not set("<>&") & set(text)
    loaded = json.loads(text)
    assert loaded[HOSTILE] == [None, None, 0.3333333]
    assert loaded["short"] == [1.5, None]
    assert loaded["&"]["dtype"] == "f4"
    back = np.frombuffer(base64.b64decode(loaded["&"]["bdata"]), "<f4")
    np.testing.assert_allclose(back, np.linspace(0, 1, 40), rtol=1e-6)


def test_figures_travel_as_float32_whatever_plotly_made_of_them():
    surface = make.surface()
    packed = json_payload.compact(json_payload.figure_json(figure(surface, log=False)))["data"][0]["z"]
    assert (packed["dtype"], packed["shape"]) == ("f4", "5, 7")
    back = np.frombuffer(base64.b64decode(packed["bdata"]), "<f4").reshape(5, 7)
    np.testing.assert_allclose(back, surface.grid()[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.0123456, np.nan, "0.01235"),
        (1234.56, np.nan, "1235"),
        (1.23456e-5, np.nan, "1.235×10⁻⁵"),
        (-12.3456, np.nan, "−12.35"),
        (12.3456, 0.123, "12.35 ± 0.12"),
        (1.2345e-5, 2.2e-6, "(1.23 ± 0.22)×10⁻⁵"),
        (41.2, 0.00041, "41.200 ± 0.00041"),
        (0.9999999, np.nan, "1.000"),
        (0.0, np.nan, "0"),
        (np.inf, np.nan, "∞"),
        (np.nan, 1.0, "not a number"),
    ],
)
def test_numbers_read_well(value, error, expected):
    assert number_format.uncertain(value, error) == expected


def test_ticks_and_durations_read_well():
    assert [number_format.tick(value) for value in (0.05, 20, 1e5, 2e-5, 0)] == ["0.05", "20", "10⁵", "2×10⁻⁵", "0"]
    assert [number_format.duration(s) for s in (4.21, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]


def test_dark_look_replaces_every_light_colour():
    swaps = theme.dark_of_light()
    assert len(set(swaps.values())) == len(swaps)
    used = set(
        re.findall(r"#[0-9a-f]{6}", json.dumps(compare({"a": make.line()}).to_plotly_json()["data"], default=str))
    )
    assert used
    assert used <= set(swaps)


def test_figures_never_load_torch():
    code = (
        "import sys, landscape.figures.figure, landscape.figures.report.page, landscape.results;"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
