"""The examples that BatchNorm's statistics are re-estimated from."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import Nested, count_examples
from landscape.seeding import SAMPLE_SEED


class Calibration:
    """Yields batches of inputs with their numbers of examples when called, the same ones every time.

    Args:
        given: inputs to use, already preprocessed; None for a random sample of `source`.
        examples: size of the sample.
        source: the training examples: tensors, or a re-iterable of batches, which is sampled over its whole length.
        size: of the batches.
        dtype: of the inputs.
    """

    def __init__(self, given: Nested | None, examples: int, source: Batches, *, size: int, dtype: torch.dtype) -> None:
        self._given, self._source, self._size, self._dtype = given, source, size, dtype
        self.examples = examples if given is None else count_examples(given)
        self._batches: Batches | None = None  # drawn when first needed

    def __call__(self) -> Iterator[tuple[Nested, int]]:
        """Yield (inputs, number of examples)."""
        if self._batches is None:
            self._batches = self._drawn()
        seen = 0
        for inputs, _, count in self._batches.iterate(self._size, self._dtype):
            if count == 1 and seen > 0:
                continue  # a single example left over can lack a variance
            seen += count
            yield inputs, count

    @property
    def description(self) -> str:
        """Description of the examples for results."""
        if self._given is not None:
            return f"{self.examples} examples given by the caller"
        if self._batches is None:
            self._batches = self._drawn()
        drawn, unit = self._batches.examples, "examples" if self._batches.sizes_are_free else "examples, whole batches"
        return f"{drawn} of {self._source.examples} {unit} drawn at random (seed {SAMPLE_SEED})"

    def _drawn(self) -> Batches:
        if self._given is not None:
            return Batches(self._given, torch.zeros(self.examples), device=self._source.device)
        return self._source.sample(self.examples)
