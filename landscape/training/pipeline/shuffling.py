"""Which examples an epoch visits, in which order and in which batches: fixed by the seed and the epoch alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.seeding import random_words


def epoch_order(examples: int, *, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return a permutation of the examples (N,); paired runs share it, as it depends on the seed and the epoch only."""
    return torch.from_numpy(np.argsort(random_words(examples, seed, epoch, 0), kind="stable")).to(device)


def batches(examples: int, batch_size: int, *, processes: int = 1) -> list[slice]:
    """Return slices of at most `batch_size` that cover all examples, the short last batch included.

    Left-over examples that are fewer than two for each process join the batch before them: BatchNorm cannot normalize
    one value per channel.
    """
    starts = list(range(0, examples, batch_size))
    if len(starts) > 1 and batch_size > 1 and examples - starts[-1] < 2 * processes:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], examples], strict=True)]
