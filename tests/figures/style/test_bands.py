"""Median and quartiles with NaN and inf."""

import numpy as np

from landscape.figures.style import bands


def test_the_spread_leaves_out_nan_and_keeps_what_diverges():
    rows = [
        np.array([1.0, np.nan, np.nan, 2.0]),
        np.array([3.0, 5.0, np.nan, np.inf]),
        np.array([2.0, 7.0, np.nan, 1.0]),
    ]
    least, _, middle, _, most = bands.spread(rows)
    np.testing.assert_array_equal(middle, [2.0, 6.0, np.nan, 2.0])
    np.testing.assert_array_equal(least, [1.0, 5.0, np.nan, 1.0])
    np.testing.assert_array_equal(most, [3.0, 7.0, np.nan, np.inf])
