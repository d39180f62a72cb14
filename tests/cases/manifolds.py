"""A random manifold as a dense matrix."""

import numpy as np

from landscape.analysis.sharpness.solvers.random_subspace import RandomManifold
from landscape.results import Floats


def dense(manifold: RandomManifold) -> Floats:
    return np.stack([manifold.times(column) for column in np.eye(manifold.columns)], axis=1)
