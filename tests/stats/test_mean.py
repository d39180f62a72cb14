"""Means and standard errors against SciPy; the examples in the docstrings of `landscape.stats`."""

import doctest
import importlib
import math
import pkgutil

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import landscape.stats
from landscape.stats.mean import mean_of, mean_of_sums, spread, standard_error
from landscape.stats.quantiles import quantiles

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(landscape.stats.__path__)])
def test_the_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"landscape.stats.{name}")).failed == 0


@given(VALUES)
def test_means_and_standard_errors(values) -> None:
    array = np.array(values)
    mean = mean_of(array)
    assert (mean.value, mean.n) == (pytest.approx(array.mean()), len(values))
    assert mean.stderr == pytest.approx(scipy.stats.sem(array), abs=1e-12)
    sums = mean_of_sums(array.sum(), (array**2).sum(), len(values))
    assert sums.value == pytest.approx(mean.value)
    assert sums.stderr == pytest.approx(mean.stderr, rel=1e-6, abs=1e-4)
    assert spread(values).deviation == pytest.approx(array.std(ddof=1))
    assert standard_error(array[:, None])[0] == mean.stderr


def test_what_has_no_standard_error() -> None:
    assert math.isnan(mean_of(np.array([1.0])).stderr)
    assert math.isnan(mean_of(np.array([1.0, 2.0]), per_example=False).stderr)
    assert math.isnan(mean_of_sums(math.inf, math.inf, 3).stderr)
    assert math.isnan(spread([1.0]).deviation)
    assert np.isnan(standard_error(np.ones((1, 3)))).tolist() == [True] * 3


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(0, 1))
def test_finite_quantiles_are_numpys(values, level) -> None:
    assert quantiles(np.array(values), [level])[0] == pytest.approx(np.quantile(values, level))


def test_quantiles_of_infinite_and_unknown_values() -> None:
    rows = np.array([[1.0, np.nan, -np.inf], [2.0, np.nan, 1.0], [np.inf, np.nan, np.nan]])
    expected = [[1, np.nan, -np.inf], [2, np.nan, -np.inf], [np.inf, np.nan, -np.inf]]
    np.testing.assert_array_equal(quantiles(rows, [0.0, 0.5, 0.75]), expected)
