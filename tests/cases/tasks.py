"""Tasks whose results are known, for any engine."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from landscape.errors import LandscapeError


@dataclass(frozen=True)
class Squares:
    """Squares of requests, plus a constant that stands for a model and data."""

    constant: int = 0

    def assemble(self, device: str) -> Callable[[Iterable[int]], Iterator[tuple[int, int]]]:
        return lambda requests: ((x, x * x + self.constant) for x in requests)


@dataclass(frozen=True)
class About:
    """What a worker is like: its process, threads and settings of torch."""

    def assemble(self, device: str) -> Callable[[Iterable[int]], Iterator[dict[str, Any]]]:
        made = time.perf_counter_ns()  # tells one state from another
        return lambda requests: (
            {
                "process": os.getpid(),
                "device": device,
                "threads": torch.get_num_threads(),
                "dtype": torch.get_default_dtype(),
                "matmul": torch.get_float32_matmul_precision(),
                "made": made,
                "ignores Ctrl-C": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            }
            for _ in requests
        )


@dataclass(frozen=True)
class Breaking:
    """A task that fails at negative requests."""

    def assemble(self, device: str) -> Callable[[Iterable[int]], Iterator[int]]:
        return lambda requests: (root(x) for x in requests)


def root(x: int) -> int:
    if x == -1:
        raise LandscapeError("expected a number of at least 0, got -1")
    if x == -2:
        raise UnpicklableError(1, 2)
    if x == -3:
        sys.exit("no more")
    return {0: 0, 1: 1, 4: 2}[x]


class UnpicklableError(LandscapeError):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"got {first} and {second}")


@dataclass(frozen=True)
class Dying:
    """A task whose worker is killed at the first request 3 of all."""

    marker: Path

    def assemble(self, device: str) -> Callable[[Iterable[int]], Iterator[int]]:
        return lambda requests: (self.one(x) for x in requests)

    def one(self, x: int) -> int:
        if x == 3 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * x


@dataclass(frozen=True, eq=False)
class Simple:
    """A task made of its parts."""

    parts: Any
    threads: int = 1
    device: str = "cpu"

    def __call__(self, requests: Iterable[Any]) -> Iterable[Any]:
        return self.parts.assemble(self.device)(requests)

    def portable(self) -> Any:
        return self.parts
