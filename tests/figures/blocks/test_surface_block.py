"""Blocks of surfaces: grids, views, limits, trajectories, notes."""

import base64

import numpy as np
import pytest
from cases import kinds
from cases import synthetic as make

from landscape.figures.blocks.json_payload import compact
from landscape.figures.blocks.surface_block import surface_block
from landscape.figures.blocks.surface_views import quantities
from landscape.figures.grouping.notes import estimate_note
from landscape.figures.grouping.surface_groups import group_surfaces


def planes_of(results):
    """The planes of a page, their data as the page holds it."""
    groups = group_surfaces(results).items()
    return [
        surface_block(f"plane-{i}", name, group, results, {"a": 0, "b": 1}) for i, (name, group) in enumerate(groups)
    ]


def data_of(results):
    return [compact(found.data) for found in planes_of(results)]


def unpack(grid):
    return np.frombuffer(base64.b64decode(grid["bdata"]), "<f4").reshape([int(n) for n in grid["shape"].split(",")])


def test_the_page_holds_the_measured_grids_inf_and_nan_included():
    def spoil(points):
        points["value"][0], points["value"][4] = np.inf, np.nan
        return points

    surface = make.surface(change=spoil)
    (data,) = data_of({"a/plane": surface})
    held = data["panels"][0]["grids"]
    assert set(held) == {f"{m}/{s}" for m in ("loss", "accuracy", "error") for s in ("train", "test", "gap")}
    for metric in surface.metrics:
        for split, expected in zip(surface.splits, surface.grid(metric), strict=True):
            np.testing.assert_allclose(unpack(held[f"{metric}/{split}"]), expected, rtol=1e-6)
    train, test = surface.grid("accuracy")
    np.testing.assert_allclose(unpack(held["error/test"]), 1 - test, rtol=1e-5)
    np.testing.assert_allclose(unpack(held["error/gap"]), train - test, rtol=1e-4, atol=1e-6)
    assert np.isinf(unpack(held["loss/train"])).sum() == 1
    assert data["panels"][0]["axes"] == [pytest.approx(surface.alpha), pytest.approx(surface.beta)]


def test_every_view_offers_rising_limits_of_which_one_is_automatic():
    results = make.everything("a", "b", value=lambda a, b, s: 10 ** (4 * a * a + b * b) / 100 * (1 + s))
    (found,) = planes_of(results)
    views = found.data["views"]
    assert list(found.quantity_options) == ["loss", "log loss", "accuracy", "error"]
    assert found.chosen == "log loss"
    plain = {f"{q}/{s}" for q in ("loss", "accuracy", "error") for s in ("train", "test", "gap")}
    assert set(views) == plain | {"log loss/train", "log loss/test"}  # a gap has no logarithm
    for key, view in views.items():
        tops = [scale["top"] for scale in view["scales"]]
        assert tops == sorted(tops)
        assert all(scale["log"] == key.startswith("log ") for scale in view["scales"])
        automatic = view["scales"][view["automatic"]]
        assert automatic["bottom"] < automatic["top"]
        assert len(view["scales"]) > 2 or key.startswith(("accuracy", "error"))
        assert view["scales"][-1]["note"] == ""
        assert view["even"] == view["grid"] == key.removeprefix("log ")
        assert view["steps"] == (f"log {view['grid']}" if view["grid"] in ("loss/train", "loss/test") else None)


def test_a_narrow_loss_begins_plain_and_still_offers_log_steps():
    flat = {"a/plane": make.surface(value=lambda a, b, s: 1 + 0.1 * a * a)}
    (found,) = planes_of(flat)
    assert found.chosen == "loss"
    assert found.offers_steps


def test_users_metrics_are_offered_under_their_own_names():
    metrics = ("loss", "accuracy", "error", "log loss", "top 5")
    offered = quantities([make.surface(metrics=metrics, value=lambda a, b, s: 1 + a * a)])
    assert [quantity.id for quantity in offered] == list(metrics)
    assert all(quantity.metric == quantity.id for quantity in offered)  # measured under these names, not derived
    assert not any(quantity.log for quantity in offered)


def test_a_panel_without_the_shown_split_has_no_grid_for_it():
    (data,) = data_of({"a/plane": make.surface("a"), "b/plane": make.surface("b", splits=("train",))})
    assert "loss/test" in data["views"]
    assert "loss/test" not in data["panels"][1]["grids"]


def test_an_incomplete_surface_says_how_much_of_it_there_is():
    (found,) = planes_of({"a/plane": make.surface(change=lambda points: points[points["beta"] < 0.3])})
    assert found.panels[0].note == "28 of 35 points computed so far"


def test_surfaces_of_different_names_have_their_own_scales():
    found = planes_of({"a/plane": make.surface(), "a/zoom": make.surface(nx=3), "b/plane": make.surface("b")})
    assert [(one.name, len(one.panels)) for one in found] == [("plane", 2), ("zoom", 1)]


def test_batchnorm_modes_of_one_plane_stand_side_by_side():
    (found,) = planes_of({**make.modes("a"), **make.modes("b")})
    labels = [panel.label for panel in found.panels]
    assert labels[:3] == ["a · BatchNorm fixed", "b · BatchNorm fixed", "a · BatchNorm recalibrated"]
    assert len(labels) == len(set(labels)) == 6
    assert len({panel.series for panel in found.panels}) == 6
    assert found.cautions == []  # they are meant to differ
    other = {"a/plane": make.surface(batchnorm="fixed"), "a/plane-2": make.surface(batchnorm="batch")}
    assert len(planes_of(other)) == 2  # nothing says that these are one plane


def test_a_convexity_map_is_no_plane_of_losses():
    assert group_surfaces({"a/convexity": kinds.convexity()}) == {}


def test_an_estimated_surface_tells_its_measured_error_and_saving():
    surface = make.estimated()
    (found,) = planes_of({"a/plane": surface})
    assert found.has_measured
    (words,) = found.estimates
    assert words == f"E{estimate_note(surface.attributes)[1:]}"
    assert "within 0.91% at 95% of 40 held-out points, at most 1.8% off" in words
    assert "21.6 times fewer evaluations" in words
    spots = found.data["panels"][0]["measured"]
    assert sorted(set(zip(*spots, strict=True))) == [(-1, 0), (0, 0), (1, 0)]
    assert len(spots[0]) == 3  # once each, whatever the splits and metrics
    np.testing.assert_allclose(surface.grid("loss"), make.surface().grid("loss"))
    (exact,) = planes_of({"a/plane": make.surface()})
    assert (exact.has_measured, exact.estimates) == (False, [])


def test_checkpoints_on_the_plane_are_marked_where_they_are():
    marks = [{"label": "other", "alpha": 0.4, "beta": -0.2}, {"label": "<b>", "alpha": 0.0, "beta": 0.3}]
    (found,) = planes_of({"a/three": make.surface(marks=marks)})
    assert found.has_marks
    for kind in ("relief", "contour"):
        traces = found.data["panels"][0][kind]["data"]
        assert [trace["meta"]["role"] for trace in traces] == ["surface", "origin", "best", "mark", "mark"]
        assert [trace["meta"]["at"] for trace in traces[3:]] == [[0.4, -0.2], [0.0, 0.3]]
        assert [trace["name"] for trace in traces[1:]] == ["a", "best on the grid", "other", "&lt;b&gt;"]


def test_a_trajectory_is_drawn_on_the_surfaces_of_its_plane_and_no_other():
    results = {"a/plane": make.surface(), "a/pca": kinds.pca_surface(), "a/trajectory": kinds.trajectory()}
    plain, pca = planes_of(results)
    assert plain.paths == []
    assert plain.keys == ["a/plane"]
    assert pca.keys == ["a/pca", "a/trajectory"]
    (path,) = pca.data["paths"]
    trajectory = results["a/trajectory"]
    np.testing.assert_allclose(path["alpha"], trajectory.alpha)
    np.testing.assert_allclose(path["residuals"], trajectory.residuals)
    assert path["panels"] == [0]
    assert "83% of the trajectory's variance" in pca.paths[0].note
    x = pca.data["panels"][0]["contour"]["layout"]["xaxis"]
    y = pca.data["panels"][0]["contour"]["layout"]["yaxis"]
    assert x["title"]["text"] == "PC 1 (62% of the variance)"
    assert y["range"][1] > trajectory.beta.max() > results["a/pca"].beta.max()  # the path is shown whole


def test_what_the_axes_are_is_said():
    assert planes_of({"a/plane": make.surface()})[0].axes.startswith("A step of 1 along α or β moves each filter")
    pca = make.surface(directions={"kind": "pca", "explained": [0.7, 0.2], "hashes": ["1"]})
    (found,) = planes_of({"a/pca": pca})
    assert "principal components" in found.axes
    title = found.data["panels"][0]["relief"]["layout"]["scene"]["yaxis"]["title"]["text"]
    assert title == "PC 2 (20.0% of the variance)"
    mixed = {"a/plane": make.surface(), "b/plane": pca}
    assert planes_of(mixed)[0].axes == ""


def test_regions_measured_more_finely_are_shown_by_themselves():
    def refine(points):
        fine = make.points_table(
            make.rows(np.linspace(-0.25, 0.5, 7), np.linspace(0, 0.25, 4), ("train", "test"), ("loss", "accuracy"))
        )
        return np.unique(np.concatenate([points, fine]))  # points on both are measured once

    region = {"alpha": [-0.25, 0.5, 7], "beta": [0, 0.25, 4], "tolerance": {"measured_95": 0.02, "held_out": 39}}
    whole = {"measured_95": 0.01, "held_out": 39}
    surface = make.surface(nx=5, ny=5, change=refine, regions=[region], tolerance=whole)
    groups = group_surfaces({"a/plane": surface})
    assert list(groups) == ["plane", "plane, region 1"]
    region = groups["plane, region 1"]["a/plane"]
    np.testing.assert_allclose(region.alpha, np.linspace(-0.25, 0.5, 7))
    np.testing.assert_allclose(region.beta, np.linspace(0, 0.25, 4))
    assert region.complete
    assert region.attributes["tolerance"]["measured_95"] == 0.02  # the error of its own estimates
    expected = [[make.loss(x, y, 0) for x in region.alpha] for y in region.beta]
    np.testing.assert_allclose(region.grid()[0], expected)


def test_a_tolerance_that_saves_nothing_says_so():
    told = {"asked": 0.01, "measured_95": 0.0, "measured_worst": 0.0, "held_out": 0, "saving": 1.0}
    (found,) = planes_of({"a/plane": make.surface(tolerance=told)})
    assert found.estimates == ["A tolerance would have saved nothing: every point was measured on all examples."]
