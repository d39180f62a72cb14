"""Rank correlations with the generalization gap against SciPy's, and how sure few checkpoints make of them."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import LandscapeError
from landscape.results import MeasureResult, SharpnessResult
from landscape.stats.comparison.rank_correlation import rank_correlation, study


def result(**values: float) -> SharpnessResult:
    return SharpnessResult(
        tuple(MeasureResult(name, name, value, 0.1 * abs(value), "", 1) for name, value in values.items())
    )


def test_a_study_of_five_checkpoints() -> None:
    gap = {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.5, "e": 0.4}
    found = {name: result(same=10 * g, opposite=-g, other=math.sin(99 * g), once=1.0) for name, g in gap.items()}
    found["e"] = SharpnessResult(found["e"].measures[:3])  # has no "once"
    made = study(found, gap, seed=3)
    assert made.checkpoints == tuple("abcde")
    assert made.measures == ("same", "opposite", "other")
    assert made.gap.tolist() == list(gap.values())
    assert made.values.shape == made.stderrs.shape == (3, 5)
    assert made.values[1].tolist() == [-g for g in gap.values()]
    np.testing.assert_allclose(made.stderrs, 0.1 * np.abs(made.values))
    expected = [scipy.stats.kendalltau(row, made.gap) for row in made.values]
    np.testing.assert_allclose(made.tau, [e.statistic for e in expected])
    assert made.tau[:2].tolist() == pytest.approx([1, -1])
    assert list(made.attributes["p_values"].values()) == pytest.approx([e.pvalue for e in expected])
    assert (made.tau_low <= made.tau + 1e-12).all()
    assert (made.tau <= made.tau_high + 1e-12).all()
    again = study(found, gap, seed=3)
    np.testing.assert_array_equal(again.tau_low, made.tau_low)
    assert made.attributes["seed"] == 3


@given(seed=st.integers(0, 1000), size=st.integers(3, 15))
@settings(max_examples=30, deadline=None)
def test_only_ranks_count(seed: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal(size), generator.integers(0, 4, size).astype(float)
    found = rank_correlation(x, y, resamples=50)
    again = rank_correlation(np.exp(3 * x), y**3 - 7, resamples=50)
    assert dataclasses.astuple(found) == pytest.approx(dataclasses.astuple(again), nan_ok=True, abs=0)
    mirrored = rank_correlation(-x, y, resamples=50)
    assert (mirrored.tau, mirrored.low, mirrored.high) == pytest.approx(
        (-found.tau, -found.high, -found.low), nan_ok=True
    )


def test_three_checkpoints_in_perfect_order_prove_nothing() -> None:
    for order in ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]):
        three = rank_correlation(np.array([1.0, 2.0, 3.0]), np.array(order))
        assert abs(three.tau) == pytest.approx(1)
        assert three.low <= 0 <= three.high
        assert three.p_value == pytest.approx(1 / 3)
    widths = []
    for size in (3, 6, 12, 24):
        x = np.arange(size, dtype=float)
        perfect = rank_correlation(x, x)
        assert perfect.high == pytest.approx(perfect.tau)
        widths.append(perfect.high - perfect.low)
    assert widths == sorted(widths, reverse=True)


def test_the_interval_holds_the_true_correlation_as_often_as_it_says() -> None:
    """Of normal pairs with correlation ½ Kendall's τ is 2/π arcsin ½ = 1/3."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        x = generator.standard_normal(12)
        y = 0.5 * x + math.sqrt(0.75) * generator.standard_normal(12)
        correlation = rank_correlation(x, y, resamples=200)
        inside += correlation.low <= 1 / 3 <= correlation.high
    assert 86 <= inside <= 100


def test_what_is_not_known_is_left_out_and_ties_give_no_order() -> None:
    x = np.array([1.0, 2.0, math.nan, 3.0, math.inf])
    y = np.array([1.0, 2.0, 3.0, math.nan, 4.0])
    assert rank_correlation(x, y).tau == pytest.approx(1)  # of the three that are known; inf is the largest
    assert all(math.isnan(number) for number in dataclasses.astuple(rank_correlation(np.ones(4), np.arange(4.0))))


def test_a_study_needs_three_checkpoints_and_a_common_measure() -> None:
    with pytest.raises(LandscapeError, match="at least 3"):
        study({"a": result(x=1), "b": result(x=2)}, {"a": 0, "b": 1})
    with pytest.raises(LandscapeError, match="share no measure"):
        study({"a": result(x=1), "b": result(y=2), "c": result(z=3)}, {"a": 0, "b": 1, "c": 2})
