"""Eigenvalues: bounds, unconverged ones, and a bottom end of its own."""

import numpy as np
import pytest
from cases import synthetic as make

from landscape.figures.plots.spectrum import spectrum_figure
from landscape.results import SpectrumResult


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
