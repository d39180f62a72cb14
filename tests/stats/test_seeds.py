"""Statistics over seeds against SciPy's paired t-test and hand-made numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from landscape.training.seeds import paired_difference, spread, verdict


def test_interval_is_that_of_the_paired_t_test():
    first, second = np.random.default_rng(0).normal(size=(2, 7))
    found = paired_difference(first.tolist(), second.tolist())
    oracle = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))
    assert found.mean == pytest.approx((first - second).mean())
    assert found.decided == (oracle.low > 0 or oracle.high < 0)
    wide = paired_difference(first.tolist(), second.tolist(), level=0.99)
    assert wide.low < found.low < found.high < wide.high


def test_spread_is_of_the_sample():
    found = spread([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(7 / 3)
    assert found.deviation == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert math.isnan(spread([1.0]).deviation)


def test_verdicts_say_what_the_numbers_allow():
    assert verdict("sam", "adam", paired_difference([0.9], [0.8])) == (
        "sam is ahead of adam by 10.00% of test accuracy in one run: an observation, not a claim."
    )
    clear = verdict("sam", "adam", paired_difference([0.80, 0.81, 0.82], [0.85, 0.861, 0.869]))
    assert clear.startswith("adam beats sam by 5.00% of test accuracy (paired over 3 seeds; sam − adam: 95% interval -")
    open_ = verdict("sam", "adam", paired_difference([0.80, 0.90], [0.85, 0.80]))
    assert open_.startswith("Undecided: sam is ahead of adam by 2.50% of test accuracy on average over 2 seeds, but")
    assert "includes 0" in open_
    assert not paired_difference([0.5, 0.5], [0.5, 0.5]).decided
