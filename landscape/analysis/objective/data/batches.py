"""The examples of one split as batches in a fixed order: resident on the device if they fit, streamed if not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analysis.objective.data.nested import (
    Batch,
    Nested,
    Preprocess,
    count_examples,
    map_tensors,
    tensors,
    working_copy,
)
from landscape.analysis.objective.data.sources import Pair, ReadyBatches, TensorSource, UnlikeExamplesError
from landscape.errors import LandscapeError
from landscape.execution.device import free_memory
from landscape.seeding import random_indices

RESIDENT_FRACTION = 0.25  # of the device's free memory, for the examples of all splits together


class Batches:
    """A split's examples as batches of (inputs, targets, number of examples).

    Built from (inputs, targets) tensors, which are then cut into batches of any size asked for, or from a re-iterable
    of ready batches, whose sizes are kept. What fits stays on the device; batches in the working precision are kept
    as well if they fit, so that nothing is prepared twice.

    >>> batches = Batches(torch.zeros(5, 3), torch.arange(5), device=torch.device("cpu"))
    >>> [count for _, _, count in batches.iterate(2, torch.float32)]
    [2, 2, 1]
    """

    def __init__(
        self,
        inputs: Nested | Iterable[Pair],
        targets: Nested | None,
        *,
        device: torch.device,
        preprocess: Preprocess | None = None,
    ) -> None:
        self.device = device
        self.preprocess = preprocess
        self._prepared: dict[tuple[int, torch.dtype], list[Batch]] = {}
        self._budget = RESIDENT_FRACTION * free_memory(device)
        self._source: TensorSource | ReadyBatches = (
            ReadyBatches(inputs) if targets is None else TensorSource(inputs, targets, device, self._budget)
        )
        self.examples = self._source.examples
        if self.examples == 0:
            raise LandscapeError("the data holds no examples; expected at least one")
        self.label_set = self._source.label_set  # distinct ones, if targets are one tensor of integers

    @property
    def sizes_are_free(self) -> bool:
        """True if the batch size can be chosen (tensors), False if it is the caller's (ready batches)."""
        return isinstance(self._source, TensorSource)

    def source(self) -> Pair | Iterable[Pair]:
        """Return the data these were built from: inputs and targets on the CPU, or the re-iterable."""
        return self._source.original

    def check_labels(self, classes: int, *, ignored: int | None = None) -> None:
        """Check that class numbers fit the model's outputs.

        Raises:
            LandscapeError: naming the labels that do not (a GPU would stop with an opaque assertion).
        """
        counted = self.label_set - {ignored}
        if counted and (min(counted) < 0 or max(counted) >= classes):
            raise LandscapeError(
                f"the labels run from {min(counted)} to {max(counted)}, but the model has {classes} outputs; "
                f"expected 0 to {classes - 1}{'' if ignored is None else f', or {ignored} to ignore'}"
            )

    def labels(self) -> Tensor:
        """Return (N,) class numbers on the CPU, to stratify by; all zero unless targets are one integer each."""
        parts = list(self._source.targets())
        if all(isinstance(part, Tensor) and part.ndim == 1 and not part.is_floating_point() for part in parts):
            return torch.cat([part.cpu() for part in parts]).long()
        return torch.zeros(self.examples, dtype=torch.int64)

    def iterate(self, size: int, dtype: torch.dtype) -> Iterator[Batch]:
        """Yield (inputs, targets, count) in the fixed order, floating-point inputs in `dtype`, on the device."""
        key = (size, dtype)
        if key in self._prepared:
            yield from self._prepared[key]
            return
        cache: list[Batch] | None = []
        used = sum(_bytes(batch) for batches in self._prepared.values() for batch in batches)
        for inputs, targets in self._source.pairs(size):
            batch = (*self._prepare(inputs, targets, dtype), count_examples(targets))
            used += _bytes(batch)
            if cache is not None and used > self._budget:
                cache = None  # too large: prepared again in every pass
            if cache is not None:
                cache.append(batch)
            yield batch
        if cache is not None:
            self._prepared[key] = cache

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Batches:
        """Return the examples of these indices into the fixed order, in the order asked for, to be cut as one likes.

        Raises:
            UnlikeExamplesError: if ready batches hold examples of different shapes.
        """
        return self._like(*self._source.take(torch.as_tensor(np.asarray(indices, dtype=np.int64))))

    def sample(self, examples: int) -> Batches:
        """Return so many examples drawn at random from all of them, always the same ones.

        Whole batches are drawn, until there are as many examples, if single ones cannot be cut out of ready batches.
        """
        try:
            return self.take(random_indices(self.examples, examples))
        except UnlikeExamplesError:
            return self.sample_batches(examples)

    def sample_batches(self, examples: int, size: int = 0) -> Batches:
        """Return whole batches drawn at random, always the same ones, until there are so many examples.

        Args:
            examples: least number; all if there are fewer.
            size: of the batches that tensors are cut into; ready batches keep their sizes.
        """
        sizes = self._source.batch_sizes(size)
        order = random_indices(len(sizes))
        enough = int(np.searchsorted(np.cumsum([sizes[number] for number in order]), examples)) + 1
        chosen = self._source.take_batches(order[:enough].tolist(), size)
        return self._like(*chosen) if isinstance(chosen, tuple) else self._like(chosen, None)

    def shards(self, count: int) -> list[Batches]:
        """Return the examples cut into at most `count` contiguous parts of about equal size; ready batches stay whole.

        >>> batches = Batches(torch.zeros(5, 3), torch.arange(5), device=torch.device("cpu"))
        >>> [shard.labels().tolist() for shard in batches.shards(2)]
        [[0, 1, 2], [3, 4]]
        """
        if self.sizes_are_free:
            return [self.take(part) for part in np.array_split(np.arange(self.examples), count) if len(part)]
        groups = np.array_split(np.arange(len(self._source.batch_sizes(0))), count)
        chosen = [self._source.take_batches(group.tolist(), 0) for group in groups if len(group)]
        return [self._like(batches, None) for batches in chosen]

    def _like(self, inputs: Nested, targets: Nested | None) -> Batches:
        return Batches(inputs, targets, device=self.device, preprocess=self.preprocess)

    def _prepare(self, inputs: Nested, targets: Nested, dtype: torch.dtype) -> Pair:
        inputs = map_tensors(lambda t: t.to(self.device, non_blocking=True), inputs)
        targets = map_tensors(lambda t: t.to(self.device, non_blocking=True), targets)
        if self.preprocess is not None:
            inputs = self.preprocess(inputs)
        return map_tensors(lambda t: working_copy(t, dtype), inputs), targets


def _bytes(batch: Batch) -> int:
    return sum(t.nbytes for t in tensors(batch[:2]))
