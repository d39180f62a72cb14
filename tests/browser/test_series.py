"""The animation of surfaces over a run, on the page."""

import numpy as np
import pytest
from cases import kinds

from landscape.figures.report.page import write_report

pytestmark = pytest.mark.browser


def test_the_slider_and_the_button_show_the_surface_of_each_epoch(tmp_path, visit):
    series = kinds.surface_series()
    page = visit(write_report({"a/plane-series": series}, tmp_path / "report.html"))
    plot = "document.querySelector(\"[data-plot='series-0']\")"
    page.wait_for_function(f"() => {plot}.data?.length === 1 && {plot}._transitionData?._frames.length === 3")

    def shown():
        return np.array(page.evaluate(f"Array.from({plot}.data[0].customdata, row => Array.from(row))"))

    np.testing.assert_allclose(shown(), series.grids()[2], rtol=1e-6)  # it opens with the last epoch
    page.locator(
        "[data-plot='series-0'] .slider-tick-touch-rect, [data-plot='series-0'] .slider-rail-touch-rect"
    ).first.click(position={"x": 2, "y": 5})
    page.wait_for_function(f"() => {plot}.layout.sliders[0].active === 0")
    np.testing.assert_allclose(shown(), series.grids()[0], rtol=1e-6)
    page.locator("[data-plot='series-0'] .updatemenu-button").first.click()
    page.wait_for_function(f"() => {plot}.layout.sliders[0].active === 2")
    np.testing.assert_allclose(shown(), series.grids()[2], rtol=1e-6)
