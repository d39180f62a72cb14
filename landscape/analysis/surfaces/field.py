"""A random field over a plane's points, known at some of them: its mean and its variance at the others."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from landscape.results import Floats
from landscape.seeding import numbered_generator

SAMPLE = 300  # points that correlation lengths are found on: the cost grows with their cube
PRIOR_WEIGHT = 4.0  # how many observations the expected amplitude counts as


def correlation(a: Floats, b: Floats) -> Floats:
    """Return Matérn's correlation with ν = 5/2 between points (A, d) and (B, d), in units of its length."""
    distance = np.sqrt(5.0) * cdist(a, b)
    found: Floats = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return found


class Shape:
    """Variation of a field over the plane: a correlation length per direction, and a share without correlation."""

    def __init__(self, places: Floats, lengths: Floats, nugget: float) -> None:
        self.scaled = places / lengths  # (P, d)
        self.lengths = lengths
        self.nugget = nugget

    @staticmethod
    def fitted(places: Floats, values: Floats) -> Shape | None:
        """Return the shape of largest likelihood for a zero-mean field of unknown amplitude; None of too few values.

        Args:
            places: (P, d) in [0, 1].
            values: (P,) the field divided by its expected amplitude; NaN where unknown.
        """
        known = np.flatnonzero(np.isfinite(values))
        dimensions = places.shape[1]
        if len(known) < 8 or not values[known].any():
            return None
        sample = known[np.argsort(numbered_generator(0).bit_generator.random_raw(len(known)), kind="stable")[:SAMPLE]]
        x, y = places[sample], values[sample]

        def cost(logs: Floats) -> float:
            scaled = x / np.exp(logs[:-1])
            covariance = correlation(scaled, scaled) + (np.exp(logs[-1]) + 1e-10) * np.eye(len(y))
            try:
                factor = scipy.linalg.cholesky(covariance, lower=True)
            except np.linalg.LinAlgError:
                return 1e10
            white = scipy.linalg.solve_triangular(factor, y, lower=True)
            return float(0.5 * len(y) * np.log(white @ white / len(y)) + np.log(np.diag(factor)).sum())

        bounds = [(np.log(0.02), np.log(5.0))] * dimensions + [(np.log(1e-6), np.log(1.0))]
        start = np.log([*[0.2] * dimensions, 1e-2])
        with threadpool_limits(1, user_api="blas"):  # the same bits whatever the number of threads
            best = scipy.optimize.minimize(cost, start, method="L-BFGS-B", bounds=bounds).x
        return Shape(places, np.exp(best[:-1]), float(np.exp(best[-1])))


class Field:
    """A zero-mean Gaussian field conditioned on its values at some points, one after the other.

    Attributes:
        variance: (P,) at each point, given what is known, for the expected amplitude.
    """

    def __init__(self, shape: Shape, amplitude: Floats) -> None:
        self._shape, self._amplitude = shape, amplitude
        self.variance: Floats = amplitude**2 * (1 + shape.nugget)
        self._columns: Floats = np.zeros(
            (0, len(amplitude))
        )  # Cholesky factor of the covariance, in the order of `add`
        self._chosen: list[int] = []

    def column(self, point: int) -> Floats:
        """Return (P,) whose squares are what knowing the field at `point` takes off the variances elsewhere."""
        shape = self._shape
        covariance = correlation(shape.scaled, shape.scaled[point : point + 1])[:, 0]
        covariance *= self._amplitude * self._amplitude[point]
        covariance -= np.einsum("k,kp->p", self._columns[:, point], self._columns)  # no BLAS: bits depend on nothing
        pivot = max(self.variance[point], 1e-12 * self._amplitude[point] ** 2, 1e-300)
        column: Floats = covariance / np.sqrt(pivot)
        column[point] = np.sqrt(pivot)
        return column

    def add(self, point: int) -> None:
        """Take the field as known at a point."""
        column = self.column(point)
        self._columns = np.concatenate([self._columns, column[None]])
        self._chosen.append(point)
        self.variance = np.maximum(self.variance - column**2, 0.0)

    def __contains__(self, point: int) -> bool:
        return point in self._chosen

    def copy(self) -> Field:
        """Return a field that can learn more without this one."""
        other = Field(self._shape, self._amplitude)
        other.variance, other._columns, other._chosen = self.variance, self._columns, list(self._chosen)
        return other

    def posterior(self, values: Floats) -> tuple[Floats, float]:
        """Return the mean (P,) and the factor by which the amplitude differs from the expected one.

        Args:
            values: (P,), read at the points added.
        """
        mean = np.zeros(len(self._amplitude))
        surprises = []  # what each value adds to those before it, in standard deviations
        for point, column in zip(self._chosen, self._columns, strict=True):
            surprise = (values[point] - mean[point]) / column[point]
            surprises.append(surprise)
            mean += surprise * column
        squares = float(np.square(surprises).sum())
        return mean, float(np.sqrt((PRIOR_WEIGHT + squares) / (PRIOR_WEIGHT + len(surprises))))
