"""Bars of layers: order, bounds, hatches."""

import dataclasses

import numpy as np
from cases import kinds

from landscape.figures.plots.layers import layers_figure


def title(axis):
    return axis.title.text


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
