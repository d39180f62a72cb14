"""Trajectories on their plane, and their animation."""

import numpy as np
import pytest
from cases import driving as drive
from cases import kinds

from landscape.figures.plots.surfaces import grids
from landscape.figures.report.page import write_report

pytestmark = pytest.mark.browser


panel, heights = drive.panel, drive.heights


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    results = {"a/pca": kinds.pca_surface("a", nx=9, ny=9), "a/trajectory": kinds.trajectory("a")}
    return write_report(results, tmp_path_factory.mktemp("paths") / "report.html")


def test_the_trajectory_plays_over_the_epochs(paths, visit):
    page = visit(paths)
    trajectory = kinds.trajectory("a")
    shown = f"{panel(0, 'contour')}.data.filter(t => t.meta?.mark === 'trajectory')"
    np.testing.assert_allclose(page.evaluate(f"{shown}[1].x"), trajectory.alpha, rtol=1e-6)
    np.testing.assert_allclose(page.evaluate(f"{shown}[1].y"), trajectory.beta, rtol=1e-6, atol=1e-7)
    words = page.locator("#plane-0 .player output")
    assert words.text_content().startswith("6 of 6: 0 off the plane")

    page.locator("#plane-0-time").press("ArrowLeft")
    page.wait_for_function(f"() => {shown}[1].x.length === 6")
    assert words.text_content().startswith(f"5 of 6: {float(f'{trajectory.residuals[5]:.3g}')} off the plane")
    end = page.evaluate(f"[{shown}[3].x[0], {shown}[3].y[0]]")
    np.testing.assert_allclose(end, [trajectory.alpha[5], trajectory.beta[5]], rtol=1e-6)
    on_surface = f"{panel(0)}.data.find(t => t.meta?.mark === 'trajectory')"
    page.wait_for_function(f"() => {on_surface}.x.length === 6")

    page.locator("#plane-0-time").press("End")
    page.locator("#plane-0-play").click()  # from the start again
    page.wait_for_function(f"() => {shown}[1].x.length <= 3")
    page.wait_for_function(f"() => {shown}[1].x.length === 7 && !planes[0].player.playing")
    assert page.locator("#plane-0-play").text_content() == "Play"


def test_the_path_lies_on_the_surface(paths, visit):
    page = visit(paths)
    surface, trajectory = kinds.pca_surface("a", nx=9, ny=9), kinds.trajectory("a")
    path = page.evaluate(f"{panel(0)}.data.find(t => t.meta?.mark === 'trajectory').z")
    low, high = page.evaluate("[planes[0].scale.bottom, planes[0].scale.top]")
    drawn = heights(page)
    for index, height in enumerate(path):
        place = trajectory.alpha[index], trajectory.beta[index]
        expected = grids.height_at(surface, drawn, *place)
        if np.isnan(expected):
            assert height is None  # beyond the grid
        else:
            assert height == pytest.approx(min(expected, high) + 0.02 * (high - low), abs=1e-4)
    assert sum(height is not None for height in path) >= 4
