"""The examples of one split, in a fixed order: resident on the device where they fit, streamed where not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analysis.objective.batchnorm import random_places
from landscape.errors import LandscapeError

Nested: TypeAlias = Any  # a tensor, or a tuple, list or dictionary of Nested
Preprocess: TypeAlias = Callable[[Nested], Nested]

MOST_COUNTED = 1_000_000
RESIDENT_FRACTION = 0.25  # of the device's free memory, for the examples of all splits together


def map_tensors(function: Callable[[Tensor], Tensor], nested: Nested) -> Nested:
    """Return the same structure with every tensor replaced by `function` of it; other leaves stay."""
    if isinstance(nested, Tensor):
        return function(nested)
    if isinstance(nested, Mapping):
        return {key: map_tensors(function, value) for key, value in nested.items()}
    if isinstance(nested, tuple | list):
        return tuple(map_tensors(function, value) for value in nested)
    return nested


def tensors(nested: Nested) -> list[Tensor]:
    """Return the tensors of a nested structure, in order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(keep, nested)
    return found


def count_examples(targets: Nested) -> int:
    """Return the number of examples of a batch: the first dimension of its first target."""
    found = tensors(targets)
    if not found or found[0].ndim == 0:
        raise LandscapeError("expected targets with one entry per example along their first dimension")
    return len(found[0])


def working_copy(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a floating-point tensor in the working precision, images and filters in channels_last; others as is.

    Complex tensors have parts of that precision, but for bfloat16, which has no complex type.
    """
    if tensor.is_complex():
        return tensor.to(dtype.to_complex()) if dtype != torch.bfloat16 else tensor
    if not tensor.is_floating_point():
        return tensor
    if tensor.ndim == 4:
        return tensor.to(dtype, memory_format=torch.channels_last)
    return tensor.to(dtype)


class UnlikeExamplesError(LandscapeError):
    """Examples of ready batches cannot be taken one by one."""


class Batches:
    """A split's examples as batches of (inputs, targets, number of examples).

    Built from (inputs, targets) tensors, which are then cut into batches of any size asked for, or from a re-iterable
    of ready batches, whose sizes are kept. What fits stays on the device; batches in the working precision are kept
    as well where they fit, so that nothing is prepared twice.
    """

    def __init__(
        self,
        inputs: Nested | Iterable[tuple[Nested, Nested]],
        targets: Nested | None,
        *,
        device: torch.device,
        preprocess: Preprocess | None = None,
    ) -> None:
        self.device = device
        self.preprocess = preprocess
        self._prepared: dict[tuple[int, torch.dtype], list[tuple[Nested, Nested, int]]] = {}
        self._budget = RESIDENT_FRACTION * free_memory(device)
        self._whole: tuple[Nested, Nested] | None = None
        self._stream: Iterable[tuple[Nested, Nested]] | None = None
        self._ready: list[int] = []  # examples of each ready batch
        self.label_set: set[int] = set()  # distinct ones, where targets are one tensor of integers
        self.examples: int
        if targets is None:
            if not isinstance(inputs, Iterable) or isinstance(inputs, Iterator):
                raise LandscapeError(
                    f"batches must be re-iterable (a list or a DataLoader), got {type(inputs).__name__}; "
                    "a generator can be read only once"
                )
            self._stream = inputs
            for target in self._targets():
                self._ready.append(count_examples(target))
                self._see_labels(target)
            self.examples = sum(self._ready)
        else:
            self.examples = count_examples(targets)
            for tensor in tensors(inputs):
                if len(tensor) != self.examples:
                    raise LandscapeError(
                        f"{len(tensor)} inputs but {self.examples} targets; expected one target per input"
                    )
            size = sum(t.nbytes for t in (*tensors(inputs), *tensors(targets)))
            home = device if size < self._budget else torch.device("cpu")
            self._see_labels(targets)
            self._whole = (map_tensors(lambda t: t.to(home), inputs), map_tensors(lambda t: t.to(home), targets))
        if self.examples == 0:
            raise LandscapeError("the data holds no examples; expected at least one")

    @property
    def sizes_are_free(self) -> bool:
        """Whether the batch size can be chosen (tensors), or is the caller's (ready batches)."""
        return self._whole is not None

    def source(self) -> tuple[Nested, Nested] | Iterable[tuple[Nested, Nested]]:
        """Return what these were built from: inputs and targets on the CPU, or the re-iterable."""
        if self._whole is not None:
            inputs, targets = (map_tensors(lambda t: t.cpu(), part) for part in self._whole)
            return inputs, targets
        assert self._stream is not None
        return self._stream

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

    def iterate(self, size: int, dtype: torch.dtype) -> Iterator[tuple[Nested, Nested, int]]:
        """Yield (inputs, targets, count) in the fixed order, floating-point inputs in `dtype`, on the device."""
        key = (size, dtype)
        if key in self._prepared:
            yield from self._prepared[key]
            return
        kept: list[tuple[Nested, Nested, int]] | None = []
        used = sum(_bytes(batch) for batches in self._prepared.values() for batch in batches)
        for inputs, targets in self._raw(size):
            batch = (*self._prepare(inputs, targets, dtype), count_examples(targets))
            used += _bytes(batch)
            if kept is not None and used > self._budget:
                kept = None  # too large: prepared again in every pass
            if kept is not None:
                kept.append(batch)
            yield batch
        if kept is not None:
            self._prepared[key] = kept

    def take(self, places: Sequence[int] | NDArray[np.int64]) -> Batches:
        """Return the examples at these places of the fixed order, in the order asked for, to be cut as one likes.

        Raises:
            UnlikeExamplesError: where ready batches hold examples of different shapes.
        """
        chosen = torch.as_tensor(np.asarray(places, dtype=np.int64))
        if self._whole is not None:
            inputs, targets = (map_tensors(lambda t: t[chosen.to(t.device)], part) for part in self._whole)
        else:
            inputs, targets = self._gathered(chosen)
        return Batches(inputs, targets, device=self.device, preprocess=self.preprocess)

    def sample(self, examples: int) -> Batches:
        """Return so many examples drawn at random from all of them, always the same ones.

        Whole batches are drawn, until there are as many examples, where single ones cannot be cut out of ready batches.
        """
        try:
            return self.take(random_places(self.examples, examples))
        except UnlikeExamplesError:
            return self.sample_batches(examples)

    def sample_batches(self, examples: int, size: int = 0) -> Batches:
        """Return whole batches drawn at random, always the same ones, until there are so many examples.

        Args:
            examples: how many, at least; all where there are fewer.
            size: of the batches that tensors are cut into; ready batches keep their sizes.
        """
        sizes = self._ready or [min(size, self.examples - start) for start in range(0, self.examples, size)]
        order = random_places(len(sizes))
        enough = int(np.searchsorted(np.cumsum([sizes[number] for number in order]), examples)) + 1
        chosen = set(order[:enough].tolist())
        if self._stream is None:
            places = np.repeat(np.arange(len(sizes)), sizes)
            return self.take(np.flatnonzero(np.isin(places, list(chosen))))
        batches = [batch for number, batch in enumerate(self._raw(0)) if number in chosen]
        return Batches(batches, None, device=self.device, preprocess=self.preprocess)

    def _gathered(self, places: Tensor) -> tuple[Nested, Nested]:
        """Return rows of ready batches, reading no further than the last of them."""
        order = torch.argsort(places)
        parts: list[Nested] = []
        start, last = 0, int(places.max())
        for batch in self._raw(0):
            if start > last:
                break
            count = count_examples(batch[1])
            if any(t.ndim == 0 or len(t) != count for t in tensors(tuple(batch))):
                raise UnlikeExamplesError(
                    "tensors of ready batches do not have one entry per example along their first dimension, so no "
                    "subset can be drawn from them; give inputs and targets as tensors"
                )
            rows = places[order][(places[order] >= start) & (places[order] < start + count)] - start
            if len(rows):
                parts.append(map_tensors(lambda t: t[rows.to(t.device)], tuple(batch)))  # noqa: B023
            start += count
        back = torch.argsort(order)
        try:
            columns = [torch.cat(column)[back] for column in zip(*map(tensors, parts), strict=True)]
        except (RuntimeError, ValueError) as error:
            raise UnlikeExamplesError(
                "examples of ready batches differ in shape, so no random subset can be drawn; pad them to one "
                "shape, or choose measures of all the examples"
            ) from error
        left = iter(columns)
        found: tuple[Nested, Nested] = map_tensors(lambda _: next(left), parts[0])
        return found

    def _raw(self, size: int) -> Iterator[tuple[Nested, Nested]]:
        if self._stream is not None:
            yield from _replayed(self._stream)
            return
        assert self._whole is not None
        inputs, targets = self._whole
        for start in range(0, self.examples, size):
            part = slice(start, start + size)
            yield map_tensors(lambda t: t[part], inputs), map_tensors(lambda t: t[part], targets)  # noqa: B023

    def _prepare(self, inputs: Nested, targets: Nested, dtype: torch.dtype) -> tuple[Nested, Nested]:
        inputs = map_tensors(lambda t: t.to(self.device, non_blocking=True), inputs)
        targets = map_tensors(lambda t: t.to(self.device, non_blocking=True), targets)
        if self.preprocess is not None:
            inputs = self.preprocess(inputs)
        return map_tensors(lambda t: working_copy(t, dtype), inputs), targets

    def _targets(self) -> Iterator[Nested]:
        for batch in self._raw(0):
            if not isinstance(batch, tuple | list) or len(batch) != 2:
                raise LandscapeError(f"expected batches of (inputs, targets), got {type(batch).__name__}")
            yield batch[1]

    def labels(self) -> Tensor:
        """Return (N,) class numbers on the CPU, to stratify by; all zero where targets are not one integer each."""
        parts = [self._whole[1]] if self._whole is not None else list(self._targets())
        if all(isinstance(part, Tensor) and part.ndim == 1 and not part.is_floating_point() for part in parts):
            return torch.cat([part.cpu() for part in parts]).long()
        return torch.zeros(self.examples, dtype=torch.int64)

    def _see_labels(self, targets: Nested) -> None:
        if (
            not isinstance(targets, Tensor)
            or targets.is_floating_point()
            or targets.is_complex()
            or not targets.numel()
        ):
            return
        self.label_set |= _distinct(targets)


def _distinct(labels: Tensor) -> set[int]:
    """Return the different integers of a tensor; counted, which is faster than to sort, where they lie close."""
    low, high = int(labels.min()), int(labels.max())
    if high - low > MOST_COUNTED:
        return set(torch.unique(labels).tolist())
    counts = torch.bincount(labels.reshape(-1).long() - low)
    return set((counts.nonzero().reshape(-1) + low).tolist())


def _replayed(stream: Iterable[tuple[Nested, Nested]]) -> Iterator[tuple[Nested, Nested]]:
    """Iterate with torch's random numbers starting from the same seed in every pass, and the caller's set aside.

    A DataLoader draws from them even when it does not shuffle; one that does keeps one order here.
    """
    inside = torch.Generator().manual_seed(0).get_state()
    batches: Iterator[tuple[Nested, Nested]] | None = None
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


def _bytes(batch: tuple[Nested, Nested, int]) -> int:
    return sum(t.nbytes for t in tensors(batch[:2]))


def free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; of the machine for the CPU (4 GB where the system does not say)."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        import os

        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on Windows, SC_AVPHYS_PAGES not on macOS
        return 4e9
