"""The processes that share a run (torchrun's), and what each of them does of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is; one of one where there is no process group."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def part(self, cut: slice) -> slice:
        """Return this process's share of a slice, in order and to within one of an equal share."""
        length = cut.stop - cut.start
        first, last = (cut.start + length * rank // self.count for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes, in each of them."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()


def current() -> Processes:
    """Return the processes of torch's default process group."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did, with NCCL where there are GPUs and gloo elsewhere."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield current()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield current()
    finally:
        dist.destroy_process_group()
