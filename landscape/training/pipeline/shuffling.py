"""Order of the examples of an epoch and their division into batches, determined by the seed and the epoch alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.seeding import random_words


def epoch_order(examples: int, *, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return a random permutation of the examples, (N,) int64, the same for every run of this seed and epoch.

    >>> epoch_order(5, seed=0, epoch=1, device=torch.device("cpu")).tolist()
    [3, 4, 2, 1, 0]
    """
    return torch.from_numpy(np.argsort(random_words(examples, seed, epoch, 0), kind="stable")).to(device)


def batch_slices(examples: int, batch_size: int, *, processes: int = 1) -> list[slice]:
    """Return slices of at most `batch_size` that cover all examples, the last one shorter if need be.

    A last batch of fewer than two examples per process joins the one before it: BatchNorm cannot normalize one value
    per channel.

    >>> batch_slices(10, 4)
    [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
    >>> batch_slices(9, 4)
    [slice(0, 4, None), slice(4, 9, None)]
    """
    starts = list(range(0, examples, batch_size))
    if len(starts) > 1 and batch_size > 1 and examples - starts[-1] < 2 * processes:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], examples], strict=True)]
