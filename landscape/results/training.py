"""Training curves, trajectories through weight space, and quantities along a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np

from landscape.results.base import Attributes, Floats, Labels, Measured, Over


@dataclass(frozen=True)
class HistoryResult(Measured):
    """Training curves: one column per quantity, one row per epoch.

    Columns: epoch, train_loss, train_accuracy, test_loss, test_accuracy (un-augmented, evaluation mode; test ones only
    where there is a test split), learning_rate, gradient_evaluations (examples × gradients so far), seconds (so far).
    """

    kind: ClassVar[str] = "history"
    columns: Annotated[Mapping[str, Floats], Over("epoch")]  # each (E,)
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class TrajectoryResult(Measured):
    """A path through weight space seen on a plane: a training trajectory on its PCA plane, or a curve between minima.

    It is drawn on every surface with the same `attributes["directions"]["hashes"]`.
    """

    kind: ClassVar[str] = "trajectory"
    alpha: Annotated[Floats, Over("position")]  # (T,) coordinate along the plane's first direction
    beta: Annotated[Floats, Over("position")]  # (T,) along the second
    position: Annotated[Floats, Labels("position")]  # (T,) ascending: epochs, or t; see `attributes["position"]`
    residuals: Annotated[Floats, Over("position")]  # (T,) distance in weight space from the plane
    distances: Annotated[Floats, Over("position")]  # (T,) distance in weight space from the plane's origin
    explained: Annotated[Floats, Over("component")]  # (C,) shares of the variance, descending; empty for a curve
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class DynamicsResult(Measured):
    """Sharpness, losses and other quantities along a training run, each with its error.

    Quantities are "lambda_max", "lambda_2", ... (largest Hessian eigenvalues), "preconditioned_lambda_max" (of Adam's
    preconditioned Hessian), "edge" (the stability threshold of the optimizer that they compare with), "gradient_norm",
    "learning_rate", "<split>_loss", "<split>_accuracy", "generalization_gap" (test loss − train loss), labels of
    sharpness measures, and those of the monitor's measures.

    >>> run = DynamicsResult(np.arange(3.0), ("lambda_max",), np.array([[1.0, 4.0, 9.0]]), np.full((1, 3), 0.1))
    >>> run.series("lambda_max").tolist(), run.error("lambda_max").tolist()
    ([1.0, 4.0, 9.0], [0.1, 0.1, 0.1])
    """

    kind: ClassVar[str] = "dynamics"
    position: Annotated[Floats, Labels("position")]  # (T,) ascending: epochs or steps; see `attributes["position"]`
    quantities: Annotated[tuple[str, ...], Labels("quantity")]  # (Q,)
    values: Annotated[Floats, Over("quantity", "position")]  # (Q, T) NaN where not measured
    errors: Annotated[Floats, Over("quantity", "position")]  # (Q, T) bounds or standard errors; NaN for none
    attributes: Attributes = field(default_factory=dict)  # `errors`: "bound" or "standard error" of each quantity

    def series(self, quantity: str) -> Floats:
        """Return the values of a quantity, (T,); NaN throughout if the run has none."""
        return self._row(self.values, quantity)

    def error(self, quantity: str) -> Floats:
        """Return the errors of a quantity, (T,); NaN throughout if the run has none."""
        return self._row(self.errors, quantity)

    def _row(self, table: Floats, quantity: str) -> Floats:
        if quantity not in self.quantities:
            return np.full(len(self.position), np.nan)
        row: Floats = table[self.quantities.index(quantity)]
        return row


@dataclass(frozen=True)
class SurfaceSeriesResult(Measured):
    """Surfaces around the snapshots of a training run, along the same directions and on the same axes."""

    kind: ClassVar[str] = "surface-series"
    position: Annotated[Floats, Labels("position")]  # (T,) ascending: epochs; see `attributes["position"]`
    alpha: Annotated[Floats, Labels("alpha")]  # (X,) ascending
    beta: Annotated[Floats, Labels("beta")]  # (Y,) ascending
    splits: Annotated[tuple[str, ...], Labels("split")]  # (S,)
    metrics: Annotated[tuple[str, ...], Labels("metric")]  # (M,) "loss" first
    values: Annotated[Floats, Over("position", "split", "metric", "beta", "alpha")]  # means over the examples
    stderrs: Annotated[Floats, Over("position", "split", "metric", "beta", "alpha")]  # their standard errors
    attributes: Attributes = field(default_factory=dict)

    def grids(self, metric: str = "loss", split: str | None = None) -> Floats:
        """Return the values of a metric on a split, (T, Y, X); the first split by default.

        >>> axis, values = np.array([0.0, 1.0]), np.arange(8.0).reshape(2, 1, 1, 2, 2)
        >>> SurfaceSeriesResult(axis, axis, axis, ("train",), ("loss",), values, values).grids()[1].tolist()
        [[4.0, 5.0], [6.0, 7.0]]
        """
        chosen = self.splits.index(split or self.splits[0])
        grids: Floats = self.values[:, chosen, self.metrics.index(metric)]
        return grids
