"""Products with a curvature operator as sums over shards of the examples, each of which one worker holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from landscape.analysis.objective.model.model_copy import deep_copy
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.packing import PackedObjective, pack_objective
from landscape.analysis.operators import shared
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.execution import Workers


class Product(NamedTuple):
    """A request: the columns to multiply by an operator, which a worker keeps with its graphs while it is alive."""

    number: int  # of the operator
    alive: frozenset[int]  # numbers of the operators whose graphs are kept
    options: Mapping[str, Any]  # of the operator
    columns: Any  # (k, n) array


class ShardProduct(NamedTuple):
    """The mean product of a shard, and the shard's weight in the mean of all examples."""

    rows: Any  # (k, n) array
    weight: float


@dataclass(frozen=True, eq=False)
class ShardTask:
    """Products over one shard."""

    objective: Objective  # on the shard's examples
    split: str
    memory_share: float
    threads: int

    @property
    def device(self) -> str:
        """Device of the objective."""
        return str(self.objective.device)

    @cached_property
    def _function(self) -> _ShardFunction:
        return _ShardFunction(self.objective, self.split, self.memory_share)

    def __call__(self, requests: Iterable[Product]) -> Iterator[ShardProduct]:
        """Yield the product of each request."""
        return self._function(requests)

    def portable(self) -> PortableShard:
        """Return the shard's objective, BatchNorm's statistics fixed to those of all examples."""
        model = deep_copy(self.objective.network.module).cpu()
        _, buffers = self.objective.network.point(None)
        own = dict(model.named_buffers())
        for name, buffer in buffers.items():
            own[name].copy_(buffer)
        packed = pack_objective(self.objective).arguments
        fixed = {**packed, "model": model, "batchnorm": "fixed", "calibration": None}
        return PortableShard(PackedObjective(fixed), self.split, self.memory_share)


@dataclass(frozen=True)
class PortableShard:
    """Parts of a shard, on the CPU."""

    objective: PackedObjective
    split: str
    memory_share: float

    def assemble(self, device: str) -> Callable[[Iterable[Product]], Iterator[ShardProduct]]:
        """Return the shard's function on a device."""
        return _ShardFunction(self.objective.unpack(device), self.split, self.memory_share)


class _ShardFunction:
    """Operators of a shard with their kept graphs, and products with them."""

    def __init__(self, objective: Objective, split: str, memory_share: float) -> None:
        self._objective, self._split, self._memory_share = objective, split, memory_share
        mean_weight = objective.evaluation.mean_weight("loss", split, objective.data[split], objective.batch_size)
        self._weight = mean_weight * objective.data[split].examples
        self._operators: dict[int, CurvatureOperator] = {}

    def __call__(self, requests: Iterable[Product]) -> Iterator[ShardProduct]:
        return map(self._multiply, requests)

    def _multiply(self, request: Product) -> ShardProduct:
        for number in set(self._operators) - request.alive:
            del self._operators[number]
        if request.number not in self._operators:
            operator = CurvatureOperator(self._objective, split=self._split, **request.options)
            operator.memory_share = self._memory_share
            self._operators[request.number] = operator
        columns = torch.tensor(request.columns).T  # a copy: arrays of an object store cannot be written
        rows = self._operators[request.number].matvec(columns).T.contiguous()
        return ShardProduct(rows.numpy(), self._weight)


class Shards:
    """Shards of a split's examples, one for each worker."""

    def __init__(self, objective: Objective, split: str, workers: Workers) -> None:
        self.workers = workers
        share = 1.0 if objective.device.type == "cuda" else 1.0 / workers.per_machine
        threads = workers.threads
        self._tasks = [
            ShardTask(objective.variant(data={split: shard}), split, share, threads)
            for shard in objective.data[split].shards(workers.count)
        ]
        self._numbers: WeakKeyDictionary[CurvatureOperator, int] = WeakKeyDictionary()
        self._next = 0

    @property
    def count(self) -> int:
        """Number of shards."""
        return len(self._tasks)

    def matvec(self, operator: CurvatureOperator, options: Mapping[str, Any], columns: Tensor) -> Tensor:
        """Return the products with the rows of (k, n), summed in float64 in the order of the shards."""
        if operator not in self._numbers:
            self._numbers[operator] = self._next
            self._next += 1
        alive = frozenset(self._numbers.values())
        request = Product(self._numbers[operator], alive, dict(options), columns.cpu().numpy())
        parts = self.workers.gather(self._tasks, request)
        exact = torch.float32 if columns.device.type == "mps" else torch.float64
        total = torch.zeros_like(columns, dtype=exact)
        weight = sum(part.weight for part in parts)
        for part in parts:
            total += (part.weight / weight) * torch.tensor(part.rows).to(columns.device, exact)
        return total

    def release(self, operator: CurvatureOperator) -> None:
        """Let the workers free the graphs of an operator."""
        self._numbers.pop(operator, None)


@contextmanager
def share_products(objective: Objective, workers: Workers, split: str | None = None) -> Iterator[int]:
    """Compute the products of an objective's operators at its own weights by workers; yield the number of shards.

    Every product is a mean over the examples: each worker keeps one shard of them, with its graphs, and the means are
    added up in float64. The products differ from those of one process by their rounding.
    """
    if workers.is_inline or workers.count == 1:
        yield 1
        return
    shards = Shards(objective, split or objective.splits[0], workers)
    shared.products[objective] = shards
    try:
        yield shards.count
    finally:
        del shared.products[objective]
