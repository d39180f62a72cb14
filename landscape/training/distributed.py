"""Data-parallel training: the processes that torchrun starts, and the share of each in a batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """Rank and size of torch's default process group; rank 0 of 1 without one.

    >>> [ProcessGroup(rank, 3).shard(slice(0, 10)) for rank in range(3)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """True for the process that writes files and prints."""
        return self.rank == 0

    def shard(self, indices: slice) -> slice:
        """Return this process's share of a slice; the shares differ in length by at most 1."""
        length = indices.stop - indices.start
        first, last = (indices.start + length * rank // self.size for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place in each of them, and return it."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier()


def process_group() -> ProcessGroup:
    """Return torch's default process group."""
    if dist.is_available() and dist.is_initialized():
        return ProcessGroup(dist.get_rank(), dist.get_world_size())
    return ProcessGroup()


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, if it did: with NCCL for tensors on GPUs, gloo for those on CPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield process_group()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield process_group()
    finally:
        dist.destroy_process_group()
