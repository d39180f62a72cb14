"""Evaluation of the loss and the metrics of a network: sums and values per example, from forward passes alone."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analysis.objective import losses
from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import Batch, Nested
from landscape.analysis.objective.metrics import Metrics, MetricValues
from landscape.analysis.objective.model.network import Forward, Network
from landscape.analysis.objective.precision import full_float32
from landscape.errors import LandscapeError
from landscape.execution.threads import MAX_PARALLEL_BATCHES, map_batches

Item = TypeVar("Item")
Result = TypeVar("Result")


class MetricEvaluator:
    """The metrics of a network on batches, the loss first.

    Args:
        network: at the point that `mean_weight` is measured at, its origin.
        metrics: functions of outputs and targets.
        loss_name: name of the loss; functions of the user's run in one thread, since they could hold a state.
        device: of the batches.
        dtype: of the network; outputs of passes in a lower precision are converted to it before the loss.
    """

    def __init__(
        self, network: Network, metrics: Metrics, *, loss_name: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.network, self.metrics, self.device, self.dtype = network, metrics, device, dtype
        self.exact = torch.float64 if device.type != "mps" else torch.float32  # MPS has no float64
        self._is_builtin = loss_name in losses.LOSSES and set(metrics.functions) <= {"loss", "accuracy"}
        self._mean_weights: WeakKeyDictionary[Batches, dict[str, float]] = WeakKeyDictionary()

    def with_loss(self, name: str, loss: losses.Loss) -> MetricEvaluator:
        """Return the same evaluation with another loss of the same form."""
        metrics = dataclasses.replace(self.metrics, functions={**self.metrics.functions, "loss": loss})
        return MetricEvaluator(self.network, metrics, loss_name=name, device=self.device, dtype=self.dtype)

    def with_network(self, network: Network) -> MetricEvaluator:
        """Return the same evaluation of the network at other weights."""
        other = copy.copy(self)
        other.network, other._mean_weights = network, WeakKeyDictionary()
        return other

    @property
    def parallel_batches(self) -> int:
        """Maximum number of batches to run concurrently: 1 if code of the user's runs, which could hold a state."""
        return MAX_PARALLEL_BATCHES if self._is_builtin and self.network.is_pure else 1

    def map(self, work: Callable[[Item], Result], batches: Iterable[Item]) -> Iterator[Result]:
        """Yield `work` of each batch in order, several batches running concurrently."""
        return map_batches(work, batches, self.device, limit=self.parallel_batches)

    def sums(
        self,
        splits: Sequence[tuple[Batches, Sequence[float]]],
        weights: Mapping[str, Tensor] | None,
        buffers: Mapping[str, Tensor] | None,
        *,
        dtype: torch.dtype,
        batch_size: int,
        limit: int | None = None,
    ) -> Tensor:
        """Return (S, M, 3): sum, sum of squares and count per split and metric, without waiting for the device.

        Each split is its batches with its mean weights.
        """
        table = []
        with torch.no_grad(), full_float32():
            forward = self.network.forward(weights, buffers, dtype)
            for batches, mean_weights in splits:
                total = torch.zeros(len(self.metrics.functions), 5, dtype=self.exact, device=self.device)
                work = partial(self._batch_sums, forward, mean_weights)
                for part in self.map(work, enumerate(_first(batches.iterate(batch_size, dtype), limit))):
                    total += part
                for row, name in zip(total, self.metrics.functions, strict=True):
                    if name in self.metrics.weighted:
                        row[1] = _squares_of_quotient(row)
                table.append(total[:, :3])
        return torch.stack(table)

    def per_example(
        self,
        metric: str,
        mean_weight: float,
        batches: Iterable[Batch],
        weights: Mapping[str, Tensor] | None,
        buffers: Mapping[str, Tensor] | None,
    ) -> NDArray[np.float64]:
        """Return one value per example, (N,), whose mean is the metric; quotients are linearized (delta method)."""
        with torch.no_grad(), full_float32():
            forward = self.network.forward(weights, buffers, self.dtype)

            def values(batch: Batch) -> Tensor:
                inputs, targets, count = batch
                with torch.no_grad():
                    result = self.values(metric, forward(inputs), targets, count, mean_weight)
                    relative = torch.ones_like(result.values) if result.weights is None else result.weights
                    return torch.stack([result.values, relative]).cpu().double()

            parts = list(self.map(values, batches))
        columns: NDArray[np.float64] = torch.cat(parts, dim=1).numpy()
        single: NDArray[np.float64] = columns[0]
        if metric in self.metrics.weighted:
            single += single.mean() * (1 - columns[1])
        return single

    def values(self, metric: str, outputs: Any, targets: Nested, count: int, mean_weight: float) -> MetricValues:
        """Return a metric on a batch, given the mean weight of all examples."""
        return MetricValues.of(
            losses.example_sums(self.metrics.functions[metric](outputs, targets), count), mean_weight
        )

    def all_values(
        self, outputs: Any, targets: Nested, count: int, mean_weights: Sequence[float]
    ) -> list[MetricValues]:
        """Return the values of every metric on a batch's outputs, computed in at least the network's precision."""
        if isinstance(outputs, Tensor) and outputs.is_floating_point():
            outputs = outputs.to(torch.promote_types(outputs.dtype, self.dtype))
        named = zip(self.metrics.functions, mean_weights, strict=True)
        return [self.values(name, outputs, targets, count, mean_weight) for name, mean_weight in named]

    def mean_weight(self, metric: str, split: str, batches: Batches, batch_size: int) -> float:
        """Return the mean of the weights that a loss or metric of (sum, weight) gives the examples; 1 for others.

        Raises:
            LandscapeError: if it is not a positive number: there is nothing to divide by.
        """
        if metric not in self.metrics.weighted:
            return 1.0
        known = self._mean_weights.setdefault(batches, {})
        if metric not in known:
            mean = self._measured_mean_weight(metric, batches, batch_size)
            if not 0 < mean < float("inf"):
                raise LandscapeError(
                    f"the weights of the {metric} over the {split} examples have a mean of {mean:g}; expected a "
                    "positive number (are all labels ignored?)"
                )
            known[metric] = mean
        return known[metric]

    def _measured_mean_weight(self, name: str, batches: Batches, batch_size: int) -> float:
        metric = self.metrics.functions[name]
        by_targets = getattr(metric, "example_weights", None)  # needs no pass of the network
        total = 0.0
        with torch.no_grad(), full_float32():
            forward = self.network.forward(None, None, self.dtype) if by_targets is None else None
            for inputs, targets, count in batches.iterate(batch_size, self.dtype):
                if by_targets is not None:
                    weights = by_targets(targets)
                elif forward is not None:
                    weights = losses.example_sums(metric(forward(inputs), targets), count).weights
                total += float(count if weights is None else weights.double().sum())
        return total / batches.examples

    def _batch_sums(self, forward: Forward, mean_weights: Sequence[float], indexed: tuple[int, Batch]) -> Tensor:
        """Return a batch's (M, 5): Σ values, Σ values², count, Σ values · weights, Σ weights² (0 if unweighted)."""
        index, (inputs, targets, count) = indexed
        with torch.no_grad():
            rows = []
            for values, weights, single in self.all_values(forward(inputs, index), targets, count, mean_weights):
                values = values.to(self.device, self.exact)
                squares = values.square().sum() if single else torch.full_like(values[0], torch.nan)
                row = [values.sum(), squares, torch.full_like(values[0], count)]
                if weights is None:
                    row += [torch.zeros_like(values[0])] * 2
                else:
                    weights = weights.to(self.device, self.exact)
                    row += [(values * weights).sum(), weights.square().sum()]
                rows.append(torch.stack(row))
            return torch.stack(rows)


def _first(batches: Iterable[Batch], limit: int | None) -> Iterator[Batch]:
    """Yield batches until they hold as many examples as `limit`, if there is one."""
    seen = 0
    for batch in batches:
        yield batch
        seen += batch[2]
        if limit is not None and seen >= limit:
            return


def _squares_of_quotient(row: Tensor) -> Tensor:
    """Return Σ zᵢ², zᵢ = L + (vᵢ − L uᵢ), of a quotient L = Σ vᵢ / Σ uᵢ, given Σ v, Σ v², n, Σ v u and Σ u², Σ u = n.

    The spread of z is that of the quotient (delta method), and its mean is L.
    """
    total, squares, n, mixed, weights = row
    mean = total / n
    spread: Tensor = squares - 2 * mean * mixed + mean.square() * (weights + n)
    return spread
