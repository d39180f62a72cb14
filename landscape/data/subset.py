"""Subsets that keep the class proportions, the same on every machine, each inside every larger one."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.data.dataset import Dataset, Split
from landscape.errors import LandscapeError
from landscape.seeding import random_words

HOLD_OUT_SEED = 1_000_003  # of its own, so that a hold-out is no prefix of the subsets that analyses measure on


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return `size` sorted indices whose classes keep the proportions of `labels`, each to within one example.

    Subsets of one seed are nested: a smaller one lies inside a larger one, and every class holds ⌊size·p⌋ or ⌈size·p⌉
    examples at every size. The classes' turns are Balinski and Young's quota method (1975, "The Quota Method of
    Apportionment"); which of its examples a class gives is random (NumPy Philox keyed by seed and class).

    Args:
        labels: (N,) integer classes.
        size: How many indices; all N where it is N or more.
        seed: Not negative.

    Returns:
        (min(size, N),) int64 indices, ascending.

    Raises:
        LandscapeError: `size` below one, or a negative seed.
    """
    if size < 1:
        raise LandscapeError(f"a subset needs at least 1 example, got {size}")
    if seed < 0:
        raise LandscapeError(f"a seed is not negative, got {seed}")
    count = len(labels)
    if size >= count:
        return torch.arange(count)
    classes, inverse, counts = np.unique(labels.cpu().numpy(), return_inverse=True, return_counts=True)
    orders = [_shuffled(np.flatnonzero(inverse == place), seed, int(value)) for place, value in enumerate(classes)]
    given = _turns(counts.astype(np.int64), size)
    chosen = np.concatenate([order[:number] for order, number in zip(orders, given, strict=True)])
    return torch.from_numpy(np.sort(chosen).astype(np.int64))


def hold_out(dataset: Dataset, examples: int, *, seed: int = HOLD_OUT_SEED) -> Dataset:
    """Return the data with a stratified part of `train` moved to a split `validation`, and nothing else changed.

    What is tuned or stopped early looks at `validation`, so that `test` is looked at once, at the end.

    A larger validation split of the same seed contains a smaller one, and both keep the order of `train`.

    Raises:
        LandscapeError: where there is a validation split already, or `examples` leave nothing to train on.
    """
    if "validation" in dataset.splits:
        raise LandscapeError("the data have a validation split already; hold out nothing")
    train, validation = divide(dataset.splits["train"], examples, seed=seed)
    others = {name: split for name, split in dataset.splits.items() if name != "train"}
    return dataclasses.replace(dataset, splits={"train": train, "validation": validation, **others})


def divide(split: Split, examples: int, *, seed: int) -> tuple[Split, Split]:
    """Return what is left of a split, and the `stratified_subset` of that many examples that was taken out.

    Raises:
        LandscapeError: where nothing would be taken, or nothing left.
    """
    if not 1 <= examples < len(split):
        raise LandscapeError(f"cannot hold out {examples} of {len(split)} examples; expected 1…{len(split) - 1}")
    taken = torch.zeros(len(split), dtype=torch.bool)
    taken[stratified_subset(split.labels, examples, seed)] = True
    return Split(split.inputs[~taken], split.labels[~taken]), Split(split.inputs[taken], split.labels[taken])


def _turns(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return how many of the first `size` turns each class has, by the quota method, in exact integers."""
    total = int(counts.sum())
    given = np.zeros_like(counts)
    for turn in range(1, size + 1):
        within_quota = given * total < turn * counts
        urgency = np.where(within_quota, (given + 1) / counts, np.inf)
        given[np.argmin(urgency)] += 1
    return given


def _shuffled(indices: NDArray[np.intp], seed: int, label: int) -> NDArray[np.intp]:
    return indices[np.argsort(random_words(len(indices), seed, label), kind="stable")]
