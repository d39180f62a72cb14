"""Gaussian random fields over the points of a plane: mean and variance given the values at some points."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from landscape.results import Floats
from landscape.seeding import numbered_generator

SAMPLE = 300  # points that correlation lengths are fitted to: the cost is cubic in them
PRIOR_WEIGHT = 4.0  # of the expected amplitude, in observations


def matern(a: Floats, b: Floats) -> Floats:
    """Return the Matérn correlation with ν = 5/2 between points (A, d) and (B, d), in units of its length.

    >>> matern(np.zeros((1, 2)), np.array([[0.0, 0.0], [3.0, 4.0]])).round(4).tolist()
    [[1.0, 0.0008]]
    """
    distance = np.sqrt(5.0) * cdist(a, b)
    correlation: Floats = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return correlation


class Kernel:
    """Matérn covariance of a field: a correlation length per direction, and a nugget (uncorrelated share)."""

    def __init__(self, positions: Floats, lengths: Floats, nugget: float) -> None:
        self.scaled = positions / lengths  # (P, d)
        self.lengths = lengths
        self.nugget = nugget

    @staticmethod
    def fit(positions: Floats, values: Floats) -> Kernel | None:
        """Return the maximum-likelihood kernel of a zero-mean field of unknown amplitude; None for too few values.

        Args:
            positions: (P, d) in [0, 1].
            values: (P,) the field divided by its expected amplitude; NaN where unknown.
        """
        known = np.flatnonzero(np.isfinite(values))
        dimensions = positions.shape[1]
        if len(known) < 8 or not values[known].any():
            return None
        sample = known[np.argsort(numbered_generator(0).bit_generator.random_raw(len(known)), kind="stable")[:SAMPLE]]
        x, y = positions[sample], values[sample]

        def cost(logs: Floats) -> float:
            scaled = x / np.exp(logs[:-1])
            covariance = matern(scaled, scaled) + (np.exp(logs[-1]) + 1e-10) * np.eye(len(y))
            try:
                factor = scipy.linalg.cholesky(covariance, lower=True)
            except np.linalg.LinAlgError:
                return 1e10
            white = scipy.linalg.solve_triangular(factor, y, lower=True)
            return float(0.5 * len(y) * np.log(white @ white / len(y)) + np.log(np.diag(factor)).sum())

        bounds = [(np.log(0.02), np.log(5.0))] * dimensions + [(np.log(1e-6), np.log(1.0))]
        start = np.log([*[0.2] * dimensions, 1e-2])
        with threadpool_limits(1, user_api="blas"):  # values do not depend on the number of threads
            best = scipy.optimize.minimize(cost, start, method="L-BFGS-B", bounds=bounds).x
        return Kernel(positions, np.exp(best[:-1]), float(np.exp(best[-1])))


class Field:
    """A zero-mean Gaussian field conditioned on its values at some points, one after the other.

    Attributes:
        variance: (P,) at each point, given the known values, for the expected amplitude.
    """

    def __init__(self, kernel: Kernel, amplitude: Floats) -> None:
        self._kernel, self._amplitude = kernel, amplitude
        self.variance: Floats = amplitude**2 * (1 + kernel.nugget)
        self._columns: Floats = np.zeros((0, len(amplitude)))  # Cholesky factor of the covariance, in order of `add`
        self._chosen: list[int] = []

    def column(self, point: int) -> Floats:
        """Return (P,) whose squares are the reductions of the variances if the field becomes known at `point`."""
        kernel = self._kernel
        covariance = matern(kernel.scaled, kernel.scaled[point : point + 1])[:, 0]
        covariance *= self._amplitude * self._amplitude[point]
        covariance -= np.einsum(
            "k,kp->p", self._columns[:, point], self._columns
        )  # without BLAS, whose bits depend on threads
        pivot = max(self.variance[point], 1e-12 * self._amplitude[point] ** 2, 1e-300)
        column: Floats = covariance / np.sqrt(pivot)
        column[point] = np.sqrt(pivot)
        return column

    def add(self, point: int) -> None:
        """Condition the field on its value at a point."""
        column = self.column(point)
        self._columns = np.concatenate([self._columns, column[None]])
        self._chosen.append(point)
        self.variance = np.maximum(self.variance - column**2, 0.0)

    def __contains__(self, point: int) -> bool:
        return point in self._chosen

    def copy(self) -> Field:
        """Return an independent copy."""
        other = Field(self._kernel, self._amplitude)
        other.variance, other._columns, other._chosen = self.variance, self._columns, list(self._chosen)
        return other

    def posterior(self, values: Floats) -> tuple[Floats, float]:
        """Return the mean (P,) and the ratio of the amplitude to the expected one.

        Args:
            values: (P,), read at the points added.
        """
        mean = np.zeros(len(self._amplitude))
        innovations = []  # of each value given those before it, in standard deviations
        for point, column in zip(self._chosen, self._columns, strict=True):
            innovation = (values[point] - mean[point]) / column[point]
            innovations.append(innovation)
            mean += innovation * column
        squares = float(np.square(innovations).sum())
        return mean, float(np.sqrt((PRIOR_WEIGHT + squares) / (PRIOR_WEIGHT + len(innovations))))
