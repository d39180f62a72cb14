"""Spectral densities, against their definition."""

import math

import numpy as np
import pytest
from cases import kinds
from scipy import integrate

from landscape.errors import LandscapeError
from landscape.figures.plots.density import density_figure, density_note, with_sigma
from landscape.stats.spectra import negative_share


def curves(drawn):
    return [trace for trace in drawn.data if not trace.fill]


def title(axis):
    return axis.title.text


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
