"""Sharpness measures, each on its own axis."""

from cases import synthetic as make

from landscape.figures.plots.sharpness_bars import sharpness_figure


def test_sharpness_shows_each_measure_on_its_own_axis():
    drawn = sharpness_figure({"a": make.sharpness("a"), "b": make.sharpness("b", sam=0.5)})
    assert [trace.x[0] for trace in drawn.data] == [1.8, 1.8, 0.012, 0.5, 1.2e-5, 1.2e-5]
    assert len({trace.xaxis for trace in drawn.data}) == 3
    assert drawn.data[2].error_x.array[0] == 0.0004
    assert drawn.data[0].error_x.array is None
