"""Disjoint stratified subsets of a split, for the spread of a measurement over samples."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.data import stratified_subset
from landscape.errors import LandscapeError


def disjoint_subsets(labels: Tensor, count: int, size: int | None, seed: int) -> list[Tensor]:
    """Return the sorted indices of `count` disjoint subsets; the first is the `stratified_subset` of this seed.

    >>> [subset.tolist() for subset in disjoint_subsets(torch.tensor([0, 0, 0, 0, 1, 1]), 2, None, seed=0)]
    [[0, 3, 5], [1, 2, 4]]

    Args:
        labels: (N,) classes.
        count: number of subsets.
        size: examples per subset; None divides all N into subsets whose sizes differ by at most 1.
        seed: non-negative.

    Raises:
        LandscapeError: if there are too few examples.
    """
    available = len(labels)
    total = available if size is None else count * size
    if total > available or count > available:
        requested = f"{count} subsets of {size} examples each" if size is not None else f"{count} subsets"
        raise LandscapeError(f"{requested} cannot be disjoint: the split has {available} examples; ask for fewer")
    subsets, used = [], torch.zeros(available, dtype=torch.bool)
    for index in range(count):
        nested = stratified_subset(labels, (index + 1) * total // count, seed)  # contains the previous one
        subsets.append(nested[~used[nested]])
        used[nested] = True
    return subsets
