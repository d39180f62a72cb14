"""Gaussian random fields against dense Gaussian conditioning."""

import numpy as np
import pytest
from cases.grids import grid
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from landscape.analysis.surfaces.multilevel.field import Field, Kernel


def test_a_field_s_mean_and_variance_are_those_of_gaussian_process_regression() -> None:
    places, lengths, nugget = grid(6), np.array([0.3, 0.5]), 0.02
    random = np.random.default_rng(0)
    amplitude, values = random.uniform(0.5, 2.0, 36), random.normal(size=36)
    chosen = [3, 17, 30, 8, 21]
    field = Field(Kernel(places, lengths, nugget), amplitude)
    for place in chosen:
        field.add(place)
    mean, scale = field.posterior(values)
    # The field divided by its amplitude is stationary: what scikit-learn knows.
    kernel = Matern(lengths, nu=2.5) + WhiteKernel(nugget)
    known = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(places[chosen], (values / amplitude)[chosen])
    expected, deviation = known.predict(places, return_std=True)
    others = np.setdiff1d(np.arange(36), chosen)
    np.testing.assert_allclose(mean[others], (amplitude * expected)[others], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(field.variance)[others], (amplitude * deviation)[others], rtol=1e-9)
    np.testing.assert_allclose(mean[chosen], values[chosen], rtol=1e-9)
    np.testing.assert_allclose(field.variance[chosen], 0, atol=1e-12)
    covariance = kernel(places[chosen])
    y = (values / amplitude)[chosen]
    assert scale**2 == pytest.approx((4 + y @ np.linalg.solve(covariance, y)) / (4 + 5))


def test_knowing_more_lowers_the_variance_by_the_squared_column() -> None:
    field = Field(Kernel(grid(5), np.array([0.2, 0.2]), 0.0), np.ones(25))
    field.add(12)
    trial = field.copy()
    before, column = trial.variance, trial.column(3)
    trial.add(3)
    np.testing.assert_allclose(before - trial.variance, column**2, atol=1e-12)
    np.testing.assert_array_equal(field.variance, before)  # the copy learned alone
    assert 3 in trial
    assert 3 not in field


def test_lengths_are_found_where_there_are_enough_values() -> None:
    places = grid(17)
    kernel = Matern([0.15, 0.6], nu=2.5)(places) + 1e-8 * np.eye(len(places))
    values = np.linalg.cholesky(kernel) @ np.random.default_rng(1).normal(size=len(places))
    values[5] = np.nan  # not known there
    found = Kernel.fit(places, 3 * values)
    assert found is not None
    np.testing.assert_allclose(found.lengths, [0.15, 0.6], rtol=0.35)
    assert found.nugget < 1e-2
    assert Kernel.fit(places, np.zeros(len(places))) is None
    assert Kernel.fit(places[:5], values[:5]) is None
