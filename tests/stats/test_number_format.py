"""Numbers, ticks and durations as text."""

import numpy as np
import pytest

from landscape.stats import number_format


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.0123456, np.nan, "0.01235"),
        (1234.56, np.nan, "1235"),
        (1.23456e-5, np.nan, "1.235×10⁻⁵"),
        (-12.3456, np.nan, "−12.35"),
        (12.3456, 0.123, "12.35 ± 0.12"),
        (1.2345e-5, 2.2e-6, "(1.23 ± 0.22)×10⁻⁵"),
        (41.2, 0.00041, "41.2000 ± 0.0005"),
        (165.05770702, 8.7e-4, "165.058 ± 0.001"),
        (165.05770702, 1e-12, "165.058 ± 0.001"),
        (0.99, 0.0000012, "0.990000 ± 0.000002"),
        (1234567.0, 0.3, "(1.23457 ± 0.00001)×10⁶"),
        (0.9999999, np.nan, "1.000"),
        (0.0, np.nan, "0"),
        (np.inf, np.nan, "∞"),
        (np.nan, 1.0, "not a number"),
    ],
)
def test_numbers_read_well(value, error, expected):
    assert number_format.uncertain(value, error) == expected


def test_ticks_and_durations_read_well():
    assert [number_format.tick(value) for value in (0.05, 20, 1e5, 2e-5, 0)] == ["0.05", "20", "10⁵", "2×10⁻⁵", "0"]
    assert [number_format.duration(s) for s in (4.21, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]
