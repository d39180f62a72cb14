"""Examples as the caller gives them: whole tensors, or a re-iterable of ready batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.objective.data.nested import Nested, count_examples, map_tensors, tensors
from landscape.errors import LandscapeError

Pair: TypeAlias = tuple[Nested, Nested]  # inputs, targets
MAX_COUNTED_RANGE = 1_000_000  # of labels, whose distinct values are then counted rather than sorted


class UnlikeExamplesError(LandscapeError):
    """Examples of ready batches cannot be taken one by one."""


class TensorSource:
    """Inputs and targets as whole tensors, cut into batches of any size.

    Raises:
        LandscapeError: if inputs and targets differ in number.
    """

    def __init__(self, inputs: Nested, targets: Nested, device: torch.device, budget: float) -> None:
        """Store the tensors on the device if they take less than `budget` bytes, else on the CPU."""
        self.examples = count_examples(targets)
        for tensor in tensors(inputs):
            if len(tensor) != self.examples:
                raise LandscapeError(f"{len(tensor)} inputs but {self.examples} targets; expected one target per input")
        size = sum(t.nbytes for t in (*tensors(inputs), *tensors(targets)))
        home = device if size < budget else torch.device("cpu")
        self._pair = map_tensors(lambda t: t.to(home), inputs), map_tensors(lambda t: t.to(home), targets)
        self.label_set = _distinct(targets)

    @property
    def original(self) -> Pair:
        """Inputs and targets on the CPU."""
        inputs, targets = (map_tensors(lambda t: t.cpu(), part) for part in self._pair)
        return inputs, targets

    def batch_sizes(self, size: int) -> list[int]:
        """Return the number of examples of each batch."""
        return [min(size, self.examples - start) for start in range(0, self.examples, size)]

    def pairs(self, size: int) -> Iterator[Pair]:
        """Yield batches of `size` examples in order."""
        inputs, targets = self._pair
        for start in range(0, self.examples, size):
            part = slice(start, start + size)
            yield map_tensors(lambda t: t[part], inputs), map_tensors(lambda t: t[part], targets)  # noqa: B023

    def targets(self) -> Iterator[Nested]:
        """Yield the targets, all at once."""
        yield self._pair[1]

    def take(self, indices: Tensor) -> Pair:
        """Return the examples of these indices as tensors."""
        inputs, targets = (map_tensors(lambda t: t[indices.to(t.device)], part) for part in self._pair)
        return inputs, targets

    def take_batches(self, numbers: Iterable[int], size: int) -> Pair:
        """Return the examples of these batches of `size` as tensors."""
        batch = np.arange(self.examples) // size
        return self.take(torch.from_numpy(np.flatnonzero(np.isin(batch, list(numbers)))))


class ReadyBatches:
    """A re-iterable of batches (inputs, targets) in a fixed order, whose sizes are kept.

    Raises:
        LandscapeError: for a generator, which can be read only once, or batches that are no pairs.
    """

    def __init__(self, batches: Iterable[Pair]) -> None:
        if not isinstance(batches, Iterable) or isinstance(batches, Iterator):
            raise LandscapeError(
                f"batches must be re-iterable (a list or a DataLoader), got {type(batches).__name__}; "
                "a generator can be read only once"
            )
        self.original = batches
        self._sizes: list[int] = []
        self.label_set: set[int] = set()
        for target in self.targets():
            self._sizes.append(count_examples(target))
            self.label_set |= _distinct(target)
        self.examples = sum(self._sizes)

    def batch_sizes(self, size: int) -> list[int]:
        """Return the number of examples of each batch."""
        return self._sizes

    def pairs(self, size: int = 0) -> Iterator[Pair]:
        """Yield the batches in order, whatever `size` says."""
        yield from _replayed(self.original)

    def targets(self) -> Iterator[Nested]:
        """Yield the targets of each batch."""
        for batch in self.pairs():
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise LandscapeError(f"expected batches of (inputs, targets), got {type(batch).__name__}")
            yield batch[1]

    def take(self, indices: Tensor) -> Pair:
        """Return the examples of these indices as tensors, reading no further than the last of them.

        Raises:
            UnlikeExamplesError: if examples differ in shape, or tensors lack a dimension of examples.
        """
        order = torch.argsort(indices)
        parts: list[Nested] = []
        start, last = 0, int(indices.max())
        for batch in self.pairs():
            if start > last:
                break
            count = count_examples(batch[1])
            if any(t.ndim == 0 or len(t) != count for t in tensors(tuple(batch))):
                raise UnlikeExamplesError(
                    "tensors of ready batches do not have one entry per example along their first dimension, so no "
                    "subset can be drawn from them; give inputs and targets as tensors"
                )
            rows = indices[order][(indices[order] >= start) & (indices[order] < start + count)] - start
            if len(rows):
                parts.append(map_tensors(lambda t: t[rows.to(t.device)], tuple(batch)))  # noqa: B023
            start += count
        back = torch.argsort(order)
        try:
            columns = iter([torch.cat(column)[back] for column in zip(*map(tensors, parts), strict=True)])
        except (RuntimeError, ValueError) as error:
            raise UnlikeExamplesError(
                "examples of ready batches differ in shape, so no random subset can be drawn; pad them to one "
                "shape, or choose measures of all the examples"
            ) from error
        inputs, targets = map_tensors(lambda _: next(columns), parts[0])
        return inputs, targets

    def take_batches(self, numbers: Iterable[int], size: int) -> list[Pair]:
        """Return these batches."""
        chosen = set(numbers)
        return [batch for number, batch in enumerate(self.pairs()) if number in chosen]


def _replayed(stream: Iterable[Pair]) -> Iterator[Pair]:
    """Iterate with torch's random numbers starting from the same seed in every pass, and the caller's set aside.

    A DataLoader draws from them even when it does not shuffle; one that does keeps one order here.
    """
    inside = torch.Generator().manual_seed(0).get_state()
    batches: Iterator[Pair] | None = None
    while True:
        outside = torch.get_rng_state()
        torch.set_rng_state(inside)
        try:
            if batches is None:
                batches = iter(stream)
            batch = next(batches)
        except StopIteration:
            return
        finally:
            inside = torch.get_rng_state()
            torch.set_rng_state(outside)
        yield batch


def _distinct(targets: Nested) -> set[int]:
    """Return the different integers of a tensor; empty for other targets.

    They are counted, which is faster than to sort, if they lie close together.
    """
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.is_complex() or not targets.numel():
        return set()
    low, high = int(targets.min()), int(targets.max())
    if high - low > MAX_COUNTED_RANGE:
        return set(torch.unique(targets).tolist())
    counts = torch.bincount(targets.reshape(-1).long() - low)
    return set((counts.nonzero().reshape(-1) + low).tolist())
