"""Paired differences over seeds against SciPy's paired t-test and hand-made numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from landscape.stats.comparison.paired_difference import accuracy_claim, paired_difference

PAIRS = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=12)


@settings(deadline=None)
@given(PAIRS)
def test_the_interval_is_that_of_the_paired_t_test(pairs):
    first, second = np.array(pairs).T
    differences = second - first
    if differences.std() < 1e-6:
        return
    paired = paired_difference(first.tolist(), second.tolist())
    oracle = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (paired.low, paired.high) == pytest.approx((oracle.low, oracle.high), rel=1e-6, abs=1e-6)
    assert paired.mean == pytest.approx(differences.mean(), abs=1e-8)
    wide = paired_difference(first.tolist(), second.tolist(), level=0.99)
    assert wide.low < paired.low < paired.high < wide.high


@settings(deadline=None)
@given(PAIRS)
def test_swapping_the_two_swaps_the_sign_and_nothing_else(pairs):
    first, second = np.array(pairs).T
    forth, back = paired_difference(first, second), paired_difference(second, first)
    assert (back.mean, back.half, back.clear) == pytest.approx((-forth.mean, forth.half, forth.clear))


def test_the_difference_is_second_minus_first():
    assert paired_difference([1.0, 2.0], [4.0, 4.0]).mean == 2.5


def test_rounding_errors_are_no_difference():
    first = np.array([0.1, 0.2, 0.3])
    equal = paired_difference(first, first * (1 + 1e-15))
    assert (equal.mean, equal.half, equal.clear) == (0.0, 0.0, False)
    shifted = paired_difference(first, first + 0.1)
    assert (shifted.half, shifted.clear) == (0.0, True)


def test_a_diverged_run_is_excluded_and_counted():
    paired = paired_difference([1.0, 2.0, math.inf], [2.0, 4.0, 1.0])
    assert (paired.mean, paired.count, paired.excluded) == (1.5, 2, 1)
    nothing = paired_difference([math.nan], [1.0])
    assert (nothing.count, nothing.excluded, nothing.clear) == (0, 1, False)
    assert accuracy_claim("sam", "adam", nothing).startswith("No seed has a finite test accuracy")


def test_one_pair_has_no_interval():
    one = paired_difference([0.5], [0.7])
    assert math.isnan(one.half)
    assert not one.clear


def test_claims_say_what_the_numbers_allow():
    assert accuracy_claim("sam", "adam", paired_difference([0.9], [0.8])) == (
        "sam is ahead of adam by 10.00 pp of test accuracy in one run: an observation, not a claim."
    )
    clear = accuracy_claim("sam", "adam", paired_difference([0.80, 0.81, 0.82], [0.85, 0.861, 0.869]))
    assert clear == (
        "adam beats sam by 5.00 pp of test accuracy over 3 seeds (adam − sam: +5.00 ± 0.25 pp, 95% interval)."
    )
    undecided = accuracy_claim("sam", "adam", paired_difference([0.80, 0.90], [0.85, 0.80]))
    assert undecided.startswith("Undecided: sam is ahead of adam by 2.50 pp of test accuracy on average over 2 seeds")
    assert "includes 0" in undecided
    assert "adam − sam: −2.50 ±" in undecided
