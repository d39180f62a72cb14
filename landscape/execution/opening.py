"""Opening of workers by the name of their engine."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeAlias

from landscape.errors import LandscapeError
from landscape.execution.processes import Processes
from landscape.execution.ray_cluster import RayCluster
from landscape.execution.workers import Workers

EngineName: TypeAlias = Literal["auto", "inline", "processes", "ray"]


def open(workers: int = 1, engine: EngineName = "auto", *, address: str | None = None) -> Workers:  # noqa: A001
    """Return workers to spread tasks over, as a context manager.

    Args:
        workers: how many; on CUDA at most one per GPU.
        engine: "inline", this process; "processes" of this machine; "ray", the actors of a Ray cluster; "auto" for
            processes if there are several workers.
        address: of the Ray cluster, such as "auto" or "10.0.0.1:6379"; the environment's RAY_ADDRESS if None, or else
            a cluster of this machine alone.

    Raises:
        LandscapeError: for fewer than one worker, several of them inline, an unknown engine, an address without Ray, or
            a cluster that cannot be reached.

    >>> with open(1) as workers:
    ...     workers.is_inline
    True
    """
    if workers < 1:
        raise LandscapeError(f"got {workers} workers; expected at least 1")
    if address is not None and engine != "ray":
        raise LandscapeError(f"got the address {address} for the engine {engine}; expected the engine ray")
    if engine == "auto":
        engine = "inline" if workers == 1 else "processes"
    if engine == "inline":
        if workers > 1:
            raise LandscapeError(f"got {workers} workers for the inline engine; expected 1, or the engine processes")
        return Workers(1, None)
    if engine == "processes":
        return Workers(workers, Processes())
    if engine == "ray":
        return Workers(workers, RayCluster(address))
    raise LandscapeError(f"unknown engine {engine!r}; expected auto, inline, processes or ray")


def use(workers: int | Workers) -> AbstractContextManager[Workers]:
    """Return a context of workers: those given, which stay open, or new ones of this number, which end with it."""
    return nullcontext(workers) if isinstance(workers, Workers) else open(workers)


def count_workers(workers: int | Workers) -> int:
    """Return the number of workers that `use` would give."""
    return workers.count if isinstance(workers, Workers) else workers


def threads_of(workers: int | Workers) -> int:
    """Return the number of torch's threads that suits each of the workers that `use` would give."""
    if isinstance(workers, Workers):
        return workers.threads
    import torch

    return max(1, torch.get_num_threads() // workers)
