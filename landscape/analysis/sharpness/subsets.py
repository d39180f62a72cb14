"""Random subsets of the examples, each an objective of its own that shares the network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.objective import Objective
from landscape.seeding import seeded_generator


def count_subsets(available: int, size: int, examples: int | None = None) -> int:
    """Return the number of subsets that `subsets` yields."""
    return max(min(examples or available, available) // size, 1)


def subsets(objective: Objective, size: int, *, examples: int | None = None, seed: int = 0) -> Iterator[Objective]:
    """Yield the objective on disjoint random subsets of the first split, of `size` examples each.

    The same for every checkpoint measured on the same data with the same seed. Where there are fewer than `size`
    examples, one subset holds them all; what is left over by the last whole subset is not used.

    Args:
        objective: whose first split is drawn from.
        size: m.
        examples: how many to draw in all; as many as there are by default.
        seed: of the draw.
    """
    split = objective.splits[0]
    pool: Batches = objective.data[split]
    count = count_subsets(pool.examples, size, examples)
    size = min(size, pool.examples)
    order: NDArray[np.int64] = seeded_generator("subsets", seed).permutation(pool.examples)[: count * size]
    if not pool.sizes_are_free:  # ready batches: read once, then cut
        pool, order = pool.take(order), np.arange(len(order))
    for start in range(0, count * size, size):
        yield objective.variant(data={split: pool.take(order[start : start + size])})
