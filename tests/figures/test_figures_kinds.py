"""Figures of curvature, studies, paths and maps: checked on their data, against the definitions."""

import dataclasses
import math

import numpy as np
import pytest
from cases import kinds
from scipy import integrate

from landscape.errors import LandscapeError
from landscape.figures.figure import compare, figure
from landscape.figures.plots.density import density_figure, density_note, with_sigma
from landscape.figures.plots.layers import layers_figure
from landscape.figures.plots.spectrum import spectrum_figure
from landscape.figures.plots.study import study_figure, tau_words
from landscape.figures.plots.surfaces.convexity import convexity_figure, convexity_note
from landscape.figures.plots.surfaces.grids import scale_of, values
from landscape.figures.plots.surfaces.surface import surface_figure
from landscape.figures.plots.surfaces.trajectory import (
    belongs,
    relief_traces,
    trajectory_figure,
    trajectory_note,
    trajectory_traces,
)
from landscape.figures.style import theme
from landscape.results import SpectrumResult
from landscape.stats.spectral_density import negative_share


def curves(drawn):
    return [trace for trace in drawn.data if not trace.fill]


def title(axis):
    return axis.title.text


# spectral density


def test_density_shows_the_measured_curve_over_its_eigenvalues_and_states_sigma():
    density = kinds.density("a", sigma=0.5)
    drawn = density_figure({"a": density}, axis="linear")
    (curve,) = curves(drawn)
    np.testing.assert_array_equal(curve.x, density.eigenvalue)
    shown = density.density > 10 ** drawn.layout.yaxis.range[0]
    np.testing.assert_array_equal(curve.y[shown], density.density[shown])
    assert drawn.layout.yaxis.type == "log"
    assert "σ = 0.5" in title(drawn.layout.yaxis)
    low, high = drawn.layout.xaxis.range
    assert low < density.nodes.min()
    assert high > density.nodes.max()


def test_the_axis_reaches_below_the_peak_of_one_eigenvalue_and_not_to_the_end_of_floats():
    density = kinds.density("a", sigma=0.5)
    one = 1 / (269_722 * 0.5 * math.sqrt(2 * math.pi))
    bottom, top = density_figure({"a": density}).layout.yaxis.range
    assert bottom == pytest.approx(math.log10(one) - 1)
    assert 10**top > density.density.max()


def test_a_narrow_negative_side_gets_a_symmetric_logarithmic_axis_on_which_it_is_seen():
    density = kinds.density("a", sigma=0.05, top=4000.0)
    drawn = density_figure({"a": density})
    (curve,) = curves(drawn)
    np.testing.assert_allclose(np.sinh(curve.x) * 10 * 0.05, curve.customdata, rtol=1e-9, atol=1e-9)
    for node in density.nodes.ravel():  # the stored grid is far too coarse for so small a width
        assert np.abs(curve.customdata - node).min() < 0.05
    low, high = drawn.layout.xaxis.range
    assert -low > 0.1 * (high - low)
    for place, label in zip(drawn.layout.xaxis.tickvals, drawn.layout.xaxis.ticktext, strict=True):
        assert math.sinh(place) * 0.5 == pytest.approx(float(label.replace("−", "-")), abs=1e-9)
    shade = drawn.layout.shapes[0]
    assert (shade.x0, shade.x1) == (low, 0)
    wide = density_figure({"a": kinds.density("a", top=5.0)})
    np.testing.assert_array_equal(curves(wide)[0].x, kinds.density("a", top=5.0).eigenvalue)


def test_other_widths_are_drawn_again_at_the_largest_and_it_is_said():
    narrow, wide = kinds.density("a", sigma=0.2), kinds.density("b", sigma=0.5, seed=1)
    drawn = density_figure({"a": narrow, "b": wide}, axis="linear")
    first, second = curves(drawn)
    again = np.zeros(len(first.x))
    for nodes, weights in zip(narrow.nodes, narrow.weights, strict=True):
        for node, weight in zip(nodes, weights, strict=True):
            again += weight / 3 * np.exp(-2 * (first.x - node) ** 2) / (0.5 * np.sqrt(2 * np.pi))
    shown = again > 10 ** drawn.layout.yaxis.range[0]
    assert shown.sum() > 50
    np.testing.assert_allclose(first.y[shown], again[shown], rtol=1e-9)
    np.testing.assert_array_equal(second.x, wide.eigenvalue)
    assert "do not compare" in density_note({"a": narrow, "b": wide})
    assert "do not compare" not in density_note({"a": narrow})


def test_smearing_again_is_exact_and_integrates_to_one():
    density = kinds.density("a", sigma=0.5)
    again = with_sigma(density, 0.5, density.eigenvalue)
    np.testing.assert_allclose(again.density, density.density, rtol=1e-12)
    np.testing.assert_allclose(again.stderr, density.stderr, rtol=1e-9)
    finer = with_sigma(density, 0.1)
    assert integrate.simpson(finer.density, x=finer.eigenvalue) == pytest.approx(1, abs=1e-6)
    assert np.isnan(with_sigma(kinds.density("a", vectors=1), 0.1).stderr).all()
    with pytest.raises(LandscapeError, match="above 0"):
        with_sigma(density, 0.0)


def test_the_negative_share_is_the_weight_below_minus_sigma():
    density = kinds.density("a", sigma=0.5)
    by_hand = sum(
        weight
        for row, weights in zip(density.nodes, density.weights, strict=True)
        for node, weight in zip(row, weights, strict=True)
        if node < -0.5
    ) / len(density.nodes)
    assert by_hand > 0.01
    assert negative_share(density).value == pytest.approx(by_hand)


# layers


def test_layers_run_down_the_network_with_bounds_and_hatches_where_not_converged():
    layers = kinds.layers("a", count=5)
    drawn = layers_figure({"a": layers, "b": kinds.layers("b", 2.0)})
    top, _, trace, _ = drawn.data
    assert list(top.y) == list(layers.names)
    np.testing.assert_array_equal(top.x, layers.top)
    np.testing.assert_array_equal(top.error_x.array, layers.bounds)
    np.testing.assert_array_equal(trace.x, layers.trace)
    np.testing.assert_array_equal(trace.error_x.array, layers.trace_stderr)
    assert [bool(shape) for shape in top.marker.pattern.shape] == [False, True, False, False, False]
    assert "not converged" in top.text[1]
    first, last = drawn.layout.yaxis.range
    assert first > last  # the first layer is on top
    assert list(drawn.layout.yaxis.categoryarray) == list(layers.names)


def test_layers_leave_out_what_was_not_measured():
    layers = dataclasses.replace(kinds.layers("a"), trace=np.full(5, np.nan), trace_stderr=np.full(5, np.nan))
    drawn = layers_figure({"a": layers})
    assert len(drawn.data) == 1
    assert title(drawn.layout.xaxis) == "largest eigenvalue"


# studies


def test_a_study_has_a_scatter_for_each_measure_and_tells_tau():
    study = kinds.study(8)
    drawn = study_figure({"study": study})
    panels = {}
    for trace in drawn.data:
        panels.setdefault(trace.xaxis, []).append(trace)
    assert len(panels) == 3
    for row, traces in zip(study.values, panels.values(), strict=True):
        points = sorted((x, y, t) for trace in traces for x, y, t in zip(trace.x, trace.y, trace.text, strict=True))
        assert points == sorted(zip(row.tolist(), study.gap.tolist(), study.checkpoints, strict=True))
    assert {trace.name for trace in drawn.data} == {"adam", "sam"}
    words = [note.text for note in drawn.layout.annotations]
    assert words[0].endswith("τ = 0.90 [0.60, 1.00]")
    assert words[1].endswith("τ = −0.07 [−0.50, 0.40]")
    assert tau_words(study, 2) == "τ not defined"
    errors = [trace.error_x.array for trace in panels["x2"]]
    assert all(error is not None and set(error) == {0.1} for error in errors)


def test_several_studies_differ_by_study_and_measures_can_be_chosen():
    drawn = study_figure({"a": kinds.study(8), "b": kinds.study(6)}, measures=["λ_max of the Hessian"])
    assert [trace.name for trace in drawn.data] == ["a", "b"]
    assert [len(trace.x) for trace in drawn.data] == [8, 6]
    with pytest.raises(LandscapeError, match="at least one measure"):
        study_figure({})


# trajectories


def test_a_trajectory_shows_its_path_and_how_far_off_the_plane_it_is():
    path = kinds.trajectory("a", n=7)
    drawn = trajectory_figure({"a": path})
    halo, line, start, end, off, far = drawn.data
    for trace in (halo, line):
        np.testing.assert_array_equal(trace.x, path.alpha)
        np.testing.assert_array_equal(trace.y, path.beta)
    assert (start.x[0], start.y[0]) == (path.alpha[0], path.beta[0])
    assert (end.x[0], end.y[0]) == (path.alpha[-1], path.beta[-1])
    assert (start.name, end.name) == ("start: epoch 0", "end: epoch 6")
    np.testing.assert_array_equal(off.y, path.residuals)
    np.testing.assert_array_equal(far.y, path.distances)
    np.testing.assert_array_equal(off.x, path.position)
    assert title(drawn.layout.xaxis) == "PC 1 (62% of the variance)"
    assert title(drawn.layout.yaxis) == "PC 2 (21% of the variance)"
    note = trajectory_note(path)
    assert "holds 83% of the trajectory's variance" in note
    assert "epoch 3" in note  # where t (1 − t) is largest


def test_a_trajectory_lies_on_the_surface_of_its_own_plane_only():
    path, surface = kinds.trajectory("a"), kinds.pca_surface("a", nx=9, ny=7)
    assert belongs(path, surface)
    assert not belongs(path, kinds.make.surface("a"))
    assert not belongs(dataclasses.replace(path, attributes={}), dataclasses.replace(surface, attributes={}))
    drawn = trajectory_figure({"a": path}, on=surface, log=False)
    contours = next(trace for trace in drawn.data if trace.type == "contour")
    np.testing.assert_array_equal(contours.z, surface.grid()[0])
    assert drawn.data[0].type == "contour"  # below the path
    for axis, places in ((drawn.layout.xaxis, path.alpha), (drawn.layout.yaxis, path.beta)):
        assert axis.range[0] < places.min()
        assert axis.range[1] > places.max()
    with pytest.raises(LandscapeError, match="not on the plane of a"):
        trajectory_figure({"a": path}, on=kinds.make.surface("a"))


def test_the_overlay_can_show_the_first_snapshots_only():
    path = kinds.trajectory("a", n=7)
    traces = trajectory_traces(path, upto=2)
    assert [len(trace.x) for trace in traces] == [3, 3, 1, 1]
    assert traces[3].x[0] == path.alpha[2]
    assert len(trajectory_traces(path, upto=0)) == 4


def test_a_path_on_a_relief_has_the_heights_between_the_grid_points():
    plane = kinds.pca_surface("a", nx=5, ny=5, value=lambda a, b, s: 2 + a - 3 * b)  # bilinear: interpolation is exact
    path = dataclasses.replace(kinds.trajectory("a"), alpha=np.array([0.1, -0.6, 2.0]), beta=np.array([0.2, -0.4, 0.0]))
    path = dataclasses.replace(path, position=np.arange(3.0), residuals=np.zeros(3), distances=np.ones(3))
    scale = scale_of([values(plane, "loss", "train")], "loss", "train", log=False)
    (trace,) = relief_traces(path, plane, "loss", "train", scale)
    lift = 0.02 * (scale.top - scale.bottom)
    np.testing.assert_allclose(trace.z[:2] - lift, [2 + 0.1 - 0.6, 2 - 0.6 + 1.2])
    assert np.isnan(trace.z[2])  # off the grid


def test_a_curve_that_lies_in_its_plane_has_no_second_panel_and_no_variance():
    drawn = figure(kinds.curve())
    assert "xaxis2" not in drawn.layout
    assert title(drawn.layout.xaxis) == "α"
    assert trajectory_note(kinds.curve()) == ""


# convexity maps


def test_a_convexity_map_starts_at_zero_and_tells_both_eigenvalues():
    made = kinds.convexity("a", nx=11, ny=7)
    drawn = figure(made)  # a surface, but no loss
    heat = drawn.data[0]
    assert heat.type == "heatmap"
    assert heat.zmin == 0
    ratio = made.grid("convexity")[0]
    shown = ratio < heat.zmax
    np.testing.assert_array_equal(heat.z[shown], ratio[shown])
    np.testing.assert_array_equal(heat.customdata[..., 0], ratio)  # what lies off the scale is told as measured
    np.testing.assert_array_equal(heat.customdata[..., 1], made.grid("lambda_min")[0])
    np.testing.assert_array_equal(heat.customdata[..., 4], made.grid("lambda_max", column="stderr")[0])
    np.testing.assert_array_equal(heat.x, made.alpha)
    np.testing.assert_array_equal(heat.y, made.beta)
    assert heat.zmax < 1  # a column of 50 does not set it
    assert "cut at" in heat.colorbar.title.text
    assert "off the scale" in convexity_note({"a": made})


def test_convexity_maps_share_one_scale_and_can_be_clipped():
    mild = kinds.convexity("a", change=lambda points: points[points["alpha"] < 0.9])
    drawn = convexity_figure({"a": mild, "b": kinds.convexity("b")}, clip=0.125)
    heats = [trace for trace in drawn.data if trace.type == "heatmap"]
    assert [heat.zmax for heat in heats] == [0.125, 0.125]
    assert np.isnan(heats[0].z[:, -1]).all()  # not computed: holes


def test_an_eigenvalue_of_a_convexity_map_can_be_drawn_as_a_surface():
    made = kinds.convexity("a")
    drawn = figure(made, metric="lambda_min", view="contour")
    np.testing.assert_array_equal(drawn.data[0].z, made.grid("lambda_min")[0])
    assert surface_figure({"a": made}, view="contour").data[0].type == "contour"  # its first metric
    with pytest.raises(LandscapeError, match="of one kind to compare, got convexity map, surface"):
        compare({"a": made, "b": kinds.make.surface("b")})


def test_any_map_without_a_loss_has_a_figure():
    made = kinds.make.surface("a", metrics=("sharpness",))
    np.testing.assert_array_equal(figure(made, log=False, view="contour").data[0].z, made.grid("sharpness")[0])


# all of them


NAMES = [
    name for name in kinds.everything("a") if not name.endswith(("-d1", "-d2"))
]  # one of a family's lines is enough


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_has_a_figure_in_light_and_dark_with_the_shared_template(name):
    result = kinds.everything("a")[name]
    light, dark = figure(result), figure(result, dark=True)
    for drawn, look in ((light, theme.LIGHT), (dark, theme.DARK)):
        assert len(drawn.data) > 0
        assert drawn.layout.template.layout.paper_bgcolor == look.paper
        assert "a" in drawn.layout.title.text or name.startswith("study")
    parts = dark.to_plotly_json()
    parts["layout"].pop("template")
    assert not set(theme.dark_of_light()) & set(_strings(parts))  # no light colour is left on dark paper


HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_stay_text(name):
    result = kinds.everything(HOSTILE).get(name.replace("a/", f"{HOSTILE}/")) or kinds.everything("a")[name]
    if name == "a/layers":
        result = dataclasses.replace(result, names=(HOSTILE, *result.names[1:]))
    if name == "study/sharpness":
        result = dataclasses.replace(result, checkpoints=(HOSTILE, *result.checkpoints[1:]), measures=(HOSTILE,) * 3)
    drawn = compare({HOSTILE: result}, title=HOSTILE)
    words = [word for word in _strings(drawn.to_plotly_json()) if "onerror" in word]
    assert words
    assert all("<img" not in word and "</script" not in word for word in words)


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


def test_a_bottom_end_too_small_to_be_seen_gets_its_own_axis():
    values_ = np.array([266.0, 150.0, -0.6, -1.3])
    ends = np.array([1, 1, -1, -1], dtype=np.int8)
    bounds, converged = np.full(4, 0.01), np.array([True, True, True, False])
    drawn = spectrum_figure({"a": SpectrumResult(values_, ends, bounds, bounds, converged, 9)})
    top, bottom = drawn.data
    assert (list(top.y), list(bottom.y)) == ([266.0, 150.0], [-0.6, -1.3])
    assert (top.xaxis, bottom.xaxis) == ("x", "x2")
    assert list(bottom.marker.symbol) == ["circle", "circle-open"]
    assert list(drawn.layout.xaxis2.ticktext) == ["λ₁", "λ₂", "λₙ₋₁", "λₙ"]
    for place, trace in ((drawn.layout.xaxis, top), (drawn.layout.xaxis2, bottom)):
        assert all(place.range[0] < x < place.range[1] for x in trace.x)
