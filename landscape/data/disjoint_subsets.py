"""Disjoint stratified subsets of a split, for the spread of a measurement over samples."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.data import stratified_subset
from landscape.errors import LandscapeError


def disjoint_subsets(labels: Tensor, count: int, size: int | None, seed: int) -> list[Tensor]:
    """Return the sorted indices of `count` disjoint stratified subsets; the first is the usual one of this seed.

    Args:
        labels: (N,) classes.
        count: how many subsets.
        size: examples of each; None for all N shared out, the sizes differing by at most one.
        seed: of the choice.

    Raises:
        LandscapeError: where the examples do not suffice.
    """
    available = len(labels)
    total = available if size is None else count * size
    if total > available or count > available:
        wanted = f"{count} subsets of {size} examples each" if size is not None else f"{count} subsets"
        raise LandscapeError(f"{wanted} cannot be disjoint: the split has {available} examples; ask for fewer")
    chosen, taken = [], torch.zeros(available, dtype=torch.bool)
    for index in range(count):
        nested = stratified_subset(labels, (index + 1) * total // count, seed)  # each of them inside the next
        chosen.append(nested[~taken[nested]])
        taken[nested] = True
    return chosen
