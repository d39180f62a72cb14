"""The examples that BatchNorm's statistics are re-estimated from."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from landscape.analysis.objective.batches import Batches, Nested, count_examples
from landscape.analysis.objective.batchnorm import random_places


class Calibration:
    """Yields batches of inputs when called, the same ones every time.

    Args:
        given: inputs to use, already preprocessed; None for a random sample of `source`, or, where that holds ready
            batches, for the first of them.
        examples: size of the sample.
        source: the training examples.
        size: of the batches.
        dtype: of the inputs.
    """

    def __init__(self, given: Nested | None, examples: int, source: Batches, *, size: int, dtype: torch.dtype) -> None:
        self._given, self._source, self._size, self._dtype = given, source, size, dtype
        self.examples = examples if given is None else count_examples(given)
        self._batches: Batches | None = None  # drawn when first needed

    def __call__(self) -> Iterator[Nested]:
        """Yield inputs until there are `examples`."""
        seen = 0
        if self._batches is None:
            self._batches = self._drawn()
        for inputs, _, count in self._batches.iterate(self._size, self._dtype):
            if seen >= self.examples:
                return
            if count == 1 and seen > 0:
                continue  # the one left over: it can lack a variance, and would count as much as a whole batch
            seen += count
            yield inputs

    def _drawn(self) -> Batches:
        source = self._source
        if self._given is not None:
            return Batches(self._given, torch.zeros(self.examples), device=source.device)
        if not source.sizes_are_free:
            return source
        return source.take(random_places(source.examples, self.examples))
