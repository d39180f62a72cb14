"""Hessian, Gauss–Newton and Fisher matrix of the mean loss as linear maps on flat vectors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves

from landscape.analysis.objective import losses
from landscape.analysis.objective.data.nested import Nested, map_tensors
from landscape.analysis.objective.derivatives import OPERATORS, BatchLoss, Operator, twice_differentiable
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.precision import DTYPES, Precision
from landscape.analysis.objective.weights import Weights, unflatten
from landscape.analysis.operators import shared
from landscape.analysis.operators.derivative_mode import DerivativeMode, choose_mode, derivative_modes
from landscape.analysis.operators.graphs import Graph, graph_bytes, make_graph
from landscape.errors import LandscapeError
from landscape.execution.device import free_memory
from landscape.execution.threads import count_parallel_batches, map_batches

KEPT_FRACTION = 0.5  # of the device's free memory, for the graphs of all batches together
CPU_GRAPH = 128e6  # bytes of one batch's graph: about 50 images of ResNet-20, whose activations stay in the cache
GPU_GRAPH = 4e9
PROBE_EXAMPLES = 8


@dataclass(frozen=True)
class _Part:
    """One batch of a product."""

    count: int  # of examples
    graph: Graph | None = None
    loss: Callable[[], BatchLoss] | None = None  # to record the graph of, if there is none
    keep: bool = False  # the graph after the product


class CurvatureOperator:
    """A linear map v → A v at fixed weights, A the mean loss's "hessian", "ggn" or "fisher".

    H is the Hessian (products by Pearlmutter 1994, taken through the folding); G = Jᵀ (∂²loss/∂outputs²) J the
    generalized Gauss–Newton matrix (Schraudolph 2002, eq. 10); F the empirical Fisher matrix, the mean of gᵢ gᵢᵀ over
    the examples with their own labels. The graph of each batch is kept after its first product while memory allows; the
    others are recorded every time.

    >>> import torch, landscape
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> inputs, targets = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> objective = landscape.Objective(model, "mse", inputs, targets, device="cpu")
    >>> landscape.CurvatureOperator(objective, "hessian").matvec(torch.ones(2))
    tensor([1., 4.])

    Args:
        objective: the loss.
        operator: "hessian", "ggn" or "fisher".
        split: of the data; the first by default.
        weights: point to linearize at; the objective's origin by default.
        buffers: fixed buffers that differ from the model's.
        names: parameters that vectors consist of, for a diagonal block of A; all moving ones by default.
        precision: of the network's passes; the objective's by default. Vectors and sums stay in the objective's.

    Raises:
        LandscapeError: for another operator, a split that does not exist, or a loss that the operator is not defined
            for.

    Attributes:
        size: n, the length of vectors.
        examples: of the split.
        num_matvecs: products so far.
        recorded: passes over the whole split that recorded graphs so far (a fraction if some are kept).
        kept_bytes: memory the kept graphs hold, as estimated from a few examples.
        memory_share: of the memory for kept graphs, where several processes share it.
    """

    def __init__(
        self,
        objective: Objective,
        operator: str = "hessian",
        *,
        split: str | None = None,
        weights: Mapping[str, Tensor] | None = None,
        buffers: Mapping[str, Tensor] | None = None,
        names: Sequence[str] | None = None,
        precision: Precision | None = None,
    ) -> None:
        if operator not in OPERATORS:
            raise LandscapeError(f"unknown operator {operator!r}; expected one of {', '.join(OPERATORS)}")
        self.operator: Operator = operator
        if operator == "fisher" and not objective.has_per_example_loss:
            raise LandscapeError("the Fisher matrix needs a loss with one value per example, not a batch's mean")
        if operator == "ggn" and objective.is_joint:
            raise LandscapeError(
                "the Gauss-Newton matrix needs outputs between the model and the loss, which a loss of model and batch "
                "does not give; use the Hessian"
            )
        objective.batches(split)  # raises if there is no such split
        self._objective, self.split = objective, split or objective.splits[0]
        self._dtype = objective.dtype if precision is None else DTYPES[precision]
        point, fixed = objective.network.point(weights)
        self._buffers = {**fixed, **(buffers or {})}
        self._point = point if names is None else {name: point[name] for name in names}
        self._frozen = {name: w for name, w in point.items() if name not in self._point}
        self.examples = objective.data[self.split].examples
        self.size = sum(w.numel() for w in self._point.values())
        self.num_matvecs, self.recorded, self.kept_bytes = 0, 0.0, 0.0
        self._kept: list[tuple[Graph, int]] = []
        self.memory_share = 1.0
        self._is_at_origin = weights is None and buffers is None
        self._options = {"operator": operator, "names": names, "precision": precision}

    def matvec(self, vectors: Tensor) -> Tensor:
        """Return A v for a vector (n,), or for each column of (n, k), in the vectors' precision and on their device."""
        columns = vectors.reshape(self.size, -1).to(self._objective.device, self._objective.dtype)
        workers = shared.products.get(self._objective) if self._is_at_origin else None
        if workers is not None:
            self.mode  # noqa: B018  # raises if there is none
            product = workers.matvec(self, self._options, columns.T)
            self.num_matvecs += len(product)
            return product.T.reshape(vectors.shape).to(vectors)
        along = [unflatten(column, self._point) for column in columns.T]
        total = torch.zeros_like(columns.T)
        examples = 0

        def multiply(part: _Part) -> tuple[Tensor, Graph | None, _Part]:
            graph = part.graph
            if graph is None:
                assert part.loss is not None
                graph = make_graph(self.mode.order, part.loss(), self._point, self.operator)
            rows = [torch.cat([w.reshape(-1) for w in graph.matvec(self.operator, vector)]) for vector in along]
            return torch.stack(rows), graph if part.keep else None, part

        with twice_differentiable(plain_kernels=self.mode.plain_kernels):
            parts = map_batches(multiply, self._parts(), self._objective.device, limit=self._parallel_batches)
            for rows, graph, part in parts:
                total += rows
                examples += part.count
                if part.graph is None:
                    self.recorded += part.count / self.examples
                if graph is not None:
                    self._kept.append((graph, part.count))
                    self.kept_bytes += self._bytes * part.count
        self.num_matvecs += len(along)
        return (total / examples).T.reshape(vectors.shape).to(vectors)

    __call__ = matvec

    def as_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """Return the operator for SciPy, (n, n): float64 outside, the objective's precision inside."""

        def matvec(vector: NDArray[Any]) -> NDArray[Any]:
            return self.matvec(torch.from_numpy(np.ascontiguousarray(vector.reshape(-1), dtype=np.float64))).numpy()

        shape = self.size, self.size
        return scipy.sparse.linalg.LinearOperator(shape, matvec=matvec, rmatvec=matvec, dtype=np.float64)

    def seconds(self) -> float:
        """Return the estimated seconds of a product, with the re-recording of graphs that do not fit in memory."""
        record, multiply, count = self._timed()
        keeping = self.mode.order == "reverse over reverse"
        budget = KEPT_FRACTION * (free_memory(self._objective.device) + self.kept_bytes) if keeping else 0.0
        kept = min(1.0, budget / (max(self._bytes, 1.0) * self.examples))
        return (multiply + (1 - kept) * record) * self.examples / count

    def seconds_per_example(self) -> float:
        """Return the seconds of a product per example once graphs are kept, as measured on one batch."""
        _, multiply, count = self._timed()
        return multiply / count

    def _timed(self) -> tuple[float, float, int]:
        """Return the seconds of recording one batch's graph and of a product with it, and its number of examples."""
        with twice_differentiable(plain_kernels=self.mode.plain_kernels):
            batch, count = self._batch_loss(self.batch_size)
            started = self._now()
            graph = make_graph(self.mode.order, batch, self._point, self.operator)
            record = self._now() - started
            vector = {name: torch.ones_like(w) for name, w in self._point.items()}
            best = math.inf
            for _ in range(2):
                started = self._now()
                graph.matvec(self.operator, vector)
                best = min(best, self._now() - started)
        return record, best, count

    def _now(self) -> float:
        """Return the time after all work on the device is done."""
        if self._objective.device.type == "cuda":
            torch.cuda.synchronize(self._objective.device)
        return time.perf_counter()

    def release(self) -> None:
        """Free the kept graphs; they are recorded again when next needed."""
        self._kept.clear()
        self.kept_bytes = 0.0
        if self._objective in shared.products:
            shared.products[self._objective].release(self)

    @property
    def mode(self) -> DerivativeMode:
        """The first of `DERIVATIVE_MODES` in which torch can take this model's second derivatives."""
        modes = derivative_modes(self._objective)
        if self.operator not in modes:
            batch, _ = self._probe()
            # of all that moves: the parameters of the next operator may lie behind a function that fails
            modes[self.operator] = choose_mode(batch, {**self._frozen, **self._point}, self.operator)
        return modes[self.operator]

    def _parts(self) -> Iterator[_Part]:
        """Yield each batch with its kept graph, or with the loss to record one, to be kept while memory allows."""
        data = self._objective.data[self.split]
        kept = list(self._kept)
        for graph, count in kept:
            yield _Part(count, graph=graph)
        done = sum(count for _, count in kept)
        if done == data.examples:
            return
        budget = self.memory_share * KEPT_FRACTION * (free_memory(self._objective.device) + self.kept_bytes)
        keeping, seen, planned = self.mode.order == "reverse over reverse", 0, self.kept_bytes
        for inputs, targets, count in data.iterate(self.batch_size, self._objective.dtype):
            seen += count
            if seen <= done:
                continue
            planned += self._bytes * count
            keeping = keeping and planned <= budget
            yield _Part(count, loss=partial(self._loss, inputs, targets, count), keep=keeping)

    @cached_property
    def _parallel_batches(self) -> int:
        """Maximum number of graphs to run concurrently; torch has one level of forward mode for all threads."""
        objective = self._objective
        free = objective.data[self.split].sizes_are_free  # else each may be as large as memory allows
        return objective.parallel_batches if self.mode.order == "reverse over reverse" and free else 1

    @cached_property
    def batch_size(self) -> int:
        """Examples at a time: about as many as make a graph of the size that suits the device.

        If batches run concurrently, each thread gets about the same number of equal ones. Ready batches keep their
        sizes.
        """
        suitable = int((GPU_GRAPH if self._objective.device.type == "cuda" else CPU_GRAPH) / max(self._bytes, 1.0))
        size = min(self._objective.batch_size, max(2 * PROBE_EXAMPLES, suitable))
        parallel = count_parallel_batches(self._objective.device, self._parallel_batches)
        batches = parallel * math.ceil(self.examples / (size * parallel))
        return min(size, max(2 * PROBE_EXAMPLES, math.ceil(self.examples / batches)))

    @cached_property
    def _bytes(self) -> float:
        """Memory that the graph of one example takes, as measured on a few."""
        batch, count = self._probe()
        order = self.mode.order
        with twice_differentiable(plain_kernels=self.mode.plain_kernels):
            return graph_bytes(lambda: make_graph(order, batch, self._point, self.operator)) / count

    def _probe(self) -> tuple[BatchLoss, int]:
        return self._batch_loss(min(PROBE_EXAMPLES, self._objective.batch_size))

    def _batch_loss(self, size: int) -> tuple[BatchLoss, int]:
        inputs, targets, count = next(self._objective.data[self.split].iterate(size, self._objective.dtype))
        return self._loss(inputs, targets, count), count

    def _loss(self, inputs: Nested, targets: Nested, count: int) -> BatchLoss:
        objective, dtype = self._objective, self._dtype

        def cast(nested: Nested, dtype: torch.dtype) -> Nested:
            return map_tensors(lambda t: t.to(dtype) if t.is_floating_point() else t, nested)

        given = inputs if dtype == objective.dtype else cast(inputs, dtype)

        def outputs(moving: Weights) -> Any:
            result = objective.network.outputs({**self._frozen, **moving}, self._buffers, given, dtype)
            if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):  # an object, which hides its tensors
                kind, result = type(result).__name__, losses.class_scores(result)
                if not isinstance(result, Tensor) or not isinstance(objective.loss_function, losses.ClassLoss):
                    raise LandscapeError(
                        f"second derivatives need outputs made of tensors, tuples and dictionaries, got "
                        f"{kind}; use landscape.ModelLoss for a loss of such outputs"
                    )
            return result if dtype == objective.dtype else cast(result, objective.dtype)

        return BatchLoss(outputs, lambda z: objective.loss_values(z, targets, count, self.split))
