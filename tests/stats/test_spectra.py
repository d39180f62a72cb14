"""Smeared Ritz values against sums of SciPy's normal densities."""

import numpy as np
import pytest
import scipy.stats

from landscape.results import DensityResult
from landscape.stats.spectra import density_grid, mean_eigenvalue, negative_share, smeared

NODES, WEIGHTS = np.array([[-3.0, 0.5, 4.0], [-1.0, 0.0, 5.0]]), np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])


def test_the_curve_is_a_mixture_of_normal_densities() -> None:
    grid = np.linspace(-6, 8, 57)
    curve, stderr = smeared(NODES, WEIGHTS, 0.4, grid)
    each = np.array(
        [scipy.stats.norm.pdf(grid[:, None], row, 0.4) @ weights for row, weights in zip(NODES, WEIGHTS, strict=True)]
    )
    np.testing.assert_allclose(curve, each.mean(axis=0), atol=1e-15)
    np.testing.assert_allclose(stderr, scipy.stats.sem(each), atol=1e-15)
    assert np.isnan(smeared(NODES[:1], WEIGHTS[:1], 0.4, grid)[1]).all()


def test_it_integrates_to_one_on_its_own_grid() -> None:
    for most in (None, 50):
        grid = density_grid(NODES, 0.1, max_points=most)
        curve, _ = smeared(NODES, WEIGHTS, 0.1, grid)
        assert np.trapezoid(curve, grid) == pytest.approx(1, abs=1e-6)
        assert (np.diff(grid) > 0).all()
    assert len(density_grid(NODES, 0.1, max_points=50)) < len(density_grid(NODES, 0.1))


def test_the_negative_share_and_the_mean_eigenvalue() -> None:
    density = DensityResult(np.zeros(1), np.zeros(1), np.zeros(1), NODES, WEIGHTS, 1.5, 6)
    assert negative_share(density).value == pytest.approx(0.1)  # -1 is not below -sigma
    assert mean_eigenvalue(density).value == pytest.approx(((NODES * WEIGHTS).sum(axis=1)).mean())
    assert mean_eigenvalue(density).stderr == pytest.approx(scipy.stats.sem((NODES * WEIGHTS).sum(axis=1)))
