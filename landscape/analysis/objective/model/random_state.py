"""Random numbers that a model draws, apart from the caller's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch

States: TypeAlias = tuple[Any, ...]


class RandomState:
    """The global generators (torch's of the CPU and one CUDA device, NumPy's, Python's) as a model sees them.

    Within `set_aside`, they go on from where the model left them; the caller's states return afterwards.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None
        self._inside: States | None = None
        self.used = False  # whether anything was drawn so far

    def restart(self) -> None:
        """Let the next draws begin from the same seed as the first ones."""
        self._inside = None

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Put the model's states in place of the caller's."""
        outside = self._get()
        try:
            self._set(self._inside or self._seeded())
            before = self._get()
            yield
            self._inside = self._get()
            self.used = self.used or not _equal(before, self._inside)
        finally:
            self._set(outside)

    def _seeded(self) -> States:
        seeded: list[Any] = [torch.Generator().manual_seed(0).get_state(), None]
        if self._device is not None:
            seeded[1] = torch.Generator(self._device).manual_seed(0).get_state()
        return (*seeded, np.random.RandomState(0).get_state(), random.Random(0).getstate())

    def _get(self) -> States:
        on_device = None if self._device is None else torch.cuda.get_rng_state(self._device)
        return torch.get_rng_state(), on_device, np.random.get_state(), random.getstate()  # noqa: NPY002

    def _set(self, states: States) -> None:
        cpu, on_device, numpy, python = states
        torch.set_rng_state(cpu)
        if self._device is not None:
            torch.cuda.set_rng_state(on_device, self._device)
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)


def _equal(a: States, b: States) -> bool:
    on_device = a[1] is None or torch.equal(a[1], b[1])
    numpy = all(np.array_equal(x, y) for x, y in zip(a[2], b[2], strict=True))
    return bool(torch.equal(a[0], b[0]) and on_device and numpy and a[3] == b[3])
