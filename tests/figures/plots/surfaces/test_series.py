"""The animation of surfaces over a run: a frame per epoch, one scale for all, a slider and buttons."""

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.blocks.block import strip_layout
from landscape.figures.kinds.surface_series import series_blocks
from landscape.figures.plots.dynamics import dynamics_figure
from landscape.figures.plots.surfaces.series import series_figure


@pytest.mark.parametrize(("view", "kind"), [("contour", "contour"), ("3d", "surface")])
def test_a_frame_per_epoch_on_one_scale_and_a_slider_that_leads_to_each(view, kind):
    series = kinds.surface_series()
    figure = series_figure({"a": series}, view=view, log=False)
    assert [frame.name for frame in figure.frames] == ["0", "1", "2"]
    assert {trace.type for frame in figure.frames for trace in frame.data} == {kind}
    for index, frame in enumerate(figure.frames):
        np.testing.assert_allclose(frame.data[0].z, series.grids()[index])
        np.testing.assert_allclose(frame.data[0].customdata, series.grids()[index])
    low, high = ("zmin", "zmax") if view == "contour" else ("cmin", "cmax")
    assert len({(frame.data[0][low], frame.data[0][high]) for frame in figure.frames}) == 1
    steps = figure.layout.sliders[0].steps
    assert [tuple(step.args[0]) for step in steps] == [("0",), ("1",), ("2",)]
    assert figure.layout.sliders[0].active == 2  # it opens with the last epoch
    np.testing.assert_allclose(figure.data[0].z, series.grids()[2])
    assert [button.method for button in figure.layout.updatemenus[0].buttons] == ["animate", "animate"]


def test_runs_side_by_side_show_their_last_snapshot_up_to_the_epoch():
    figure = series_figure({"a": kinds.surface_series(epochs=4), "b": kinds.surface_series("b", epochs=2)}, log=False)
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3"]
    np.testing.assert_allclose(figure.frames[3].data[1].z, kinds.surface_series("b", epochs=2).grids()[1])


def test_the_page_gets_the_frames_and_a_control_of_the_split():
    (block,) = series_blocks({"a/plane-series": kinds.surface_series()}, {"a": 0})
    (plot,) = block.plots
    assert list(plot.variants) == ["train", "test"]
    assert [len(variant["frames"]) for variant in plot.variants.values()] == [3, 3]
    assert "frames" not in strip_layout(dynamics_figure({"a": kinds.dynamics()}))


def test_an_empty_series_or_another_view_is_refused():
    with pytest.raises(LandscapeError, match="at least one series"):
        series_figure({})
    with pytest.raises(LandscapeError, match="among contour, 3d"):
        series_figure({"a": kinds.surface_series()}, view="relief")
