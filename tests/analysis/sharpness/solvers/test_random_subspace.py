"""Products with a random manifold against its dense matrix."""

import numpy as np
import pytest
from cases.manifolds import dense

from landscape.analysis.sharpness.solvers.random_subspace import RandomManifold


@pytest.mark.parametrize(("rows", "columns"), [(50, 8), (40_000, 5), (3, 8)])
def test_the_manifold_s_products_are_those_of_its_matrix(rows: int, columns: int) -> None:
    """Over several blocks of rows, and where there are fewer parameters than columns."""
    manifold = RandomManifold(rows, columns, seed=1)
    a, generator = dense(manifold), np.random.default_rng(0)
    v, z = generator.standard_normal(rows), generator.standard_normal(columns)
    np.testing.assert_allclose(manifold.times(z), a @ z, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(manifold.transposed_times(v), a.T @ v, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(manifold.pseudo_inverse_times(v), np.linalg.pinv(a) @ v, rtol=1e-7, atol=1e-9)


def test_the_manifold_s_entries_are_normal_and_each_column_its_own() -> None:
    a = dense(RandomManifold(20_000, 4, seed=2))
    assert np.abs(a.mean(0)).max() < 0.03
    assert np.abs(np.cov(a.T) - np.eye(4)).max() < 0.03
    np.testing.assert_array_equal(dense(RandomManifold(20_000, 2, seed=2)), a[:, :2])
    np.testing.assert_array_equal(dense(RandomManifold(17_000, 2, seed=2)), a[:17_000, :2])
    assert not (dense(RandomManifold(20_000, 1, seed=3)) == a[:, :1]).any()
