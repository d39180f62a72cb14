"""Stratified subsets: nested, with the class proportions of the data, and the same on every machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.data.dataset import Dataset, Split
from landscape.errors import LandscapeError
from landscape.seeding import random_words

LOOK_AHEAD = 6  # next seats of each class whose deadlines are checked; fewer can miss a quota
_TURNS = (0, 7, 1)  # key of the random numbers of turns, after the seed; those of examples have (seed, class)

HOLD_OUT_SEED = 1_000_003  # unlike the seeds of analyses, so that a hold-out is no prefix of their subsets


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return `size` sorted indices with the class proportions of `labels`, each to within one example.

    Subsets of one seed are nested: a smaller one lies inside a larger one, and every class holds ⌊size·p⌋ or ⌈size·p⌉
    examples at every size. Over seeds every example is included with the same probability size/N: exactly if all
    classes have equally many examples, otherwise to a few per cent (10 % of it in subsets of a dozen examples). The
    class of the next seat is drawn as in `_random_seats`, and so are the examples of a class (NumPy Philox keyed by
    seed and class).

    >>> stratified_subset(torch.tensor([0, 0, 0, 0, 1, 1]), 3, seed=0).tolist()
    [0, 3, 5]

    Args:
        labels: (N,) integer classes.
        size: Number of indices; all N if N or more.
        seed: Non-negative.

    Returns:
        (min(size, N),) int64 indices, ascending.

    Raises:
        LandscapeError: for a size below 1 or a negative seed.
    """
    return _subset(labels, size, seed, lambda counts: _random_seats(counts, size, seed))


def quota_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return a `stratified_subset` whose number of examples per class does not depend on the seed.

    For splits and reference samples that checkpoints record. Equal to `stratified_subset` if all classes have equally
    many examples and `size` is a multiple of the number of classes. It is a biased sample of long tails: the seats left
    for rare classes always go to the same ones (Balinski & Young 1975, "The Quota Method of Apportionment").

    >>> quota_subset(torch.tensor([0, 0, 0, 0, 1, 1]), 3, seed=0).tolist()
    [0, 3, 5]
    """
    return _subset(labels, size, seed, lambda counts: _quota_seats(counts, size))


def _subset(
    labels: Tensor, size: int, seed: int, apportion: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> Tensor:
    if size < 1:
        raise LandscapeError(f"a subset needs at least 1 example, got {size}")
    if seed < 0:
        raise LandscapeError(f"a seed is not negative, got {seed}")
    count = len(labels)
    if size >= count:
        return torch.arange(count)
    classes, inverse, counts = np.unique(labels.cpu().numpy(), return_inverse=True, return_counts=True)
    orders = [_shuffled(np.flatnonzero(inverse == index), seed, int(value)) for index, value in enumerate(classes)]
    seats = apportion(counts.astype(np.int64))
    indices = np.concatenate([order[:number] for order, number in zip(orders, seats, strict=True)])
    return torch.from_numpy(np.sort(indices).astype(np.int64))


def hold_out(dataset: Dataset, examples: int, *, seed: int = HOLD_OUT_SEED) -> Dataset:
    """Return the data with a stratified part of `train` moved to a new split `validation`.

    Tuning and early stopping use `validation`, so that `test` is evaluated once, at the end. A larger validation split
    of the same seed contains a smaller one, and both keep the order of `train`.

    >>> split = Split(torch.zeros(6, 2), torch.tensor([0, 0, 0, 0, 1, 1]))
    >>> data = hold_out(Dataset("python", {"train": split}, ("a", "b")), 3)
    >>> {name: split.labels.tolist() for name, split in data.splits.items()}
    {'train': [0, 0, 1], 'validation': [0, 0, 1]}

    Raises:
        LandscapeError: if a validation split exists already, or no example would remain in `train`.
    """
    if "validation" in dataset.splits:
        raise LandscapeError("the data have a validation split already; hold out nothing")
    train, validation = divide(dataset.splits["train"], examples, seed=seed)
    others = {name: split for name, split in dataset.splits.items() if name != "train"}
    return dataclasses.replace(dataset, splits={"train": train, "validation": validation, **others})


def divide(split: Split, examples: int, *, seed: int) -> tuple[Split, Split]:
    """Divide a split into its remainder and a `quota_subset` of `examples`; return both in this order.

    >>> first, second = divide(Split(torch.zeros(6, 2), torch.tensor([0, 0, 0, 0, 1, 1])), 3, seed=0)
    >>> first.labels.tolist(), second.labels.tolist()
    ([0, 0, 1], [0, 0, 1])

    Raises:
        LandscapeError: if one of both would be empty.
    """
    if not 1 <= examples < len(split):
        raise LandscapeError(f"cannot hold out {examples} of {len(split)} examples; expected 1…{len(split) - 1}")
    selected = torch.zeros(len(split), dtype=torch.bool)
    selected[quota_subset(split.labels, examples, seed)] = True
    return Split(split.inputs[~selected], split.labels[~selected]), Split(
        split.inputs[selected], split.labels[selected]
    )


def _quota_seats(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the seats of each class among the first `size`, by the quota method in exact integers, (K,)."""
    total = int(counts.sum())
    given = np.zeros_like(counts)
    for turn in range(1, size + 1):
        within_quota = given * total < turn * counts
        urgency = np.where(within_quota, (given + 1) / counts, np.inf)
        given[np.argmin(urgency)] += 1
    return given


def _random_seats(counts: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Return the seats of each class among the first `size`, (K,), the class of each turn drawn at random.

    Within quota at every turn t: class c has ⌊t·p⌋ or ⌈t·p⌉ of the first t seats, with p its share of the examples. The
    turn of its k-th seat is to be uniform in [(k − 1)/p, k/p], so that each turn is the class's with probability p. A
    turn therefore goes to a class at its hazard rate, the probability of this turn given none of the earlier ones.
    Exactly one class gets each turn, so the rates are conditioned on a sum of 1 (to first order: by each class's share
    of the variance). If the turns left before some deadline are as few as the seats due by then, one of those gets it.
    """
    if (counts == counts[0]).all():  # every round gives each class one turn, in random order
        rounds = -(-size // len(counts))
        random = random_words(rounds * len(counts), seed, *_TURNS).reshape(rounds, len(counts))
        whole = np.full_like(counts, size // len(counts))
        whole[np.argsort(random[-1], kind="stable")[: size % len(counts)]] += 1
        return whole
    draws = random_words(size, seed, *_TURNS) / 2.0**64
    total = int(counts.sum())
    share, given, seats = counts / total, np.zeros_like(counts), np.arange(1, LOOK_AHEAD + 1)[:, None]
    for turn in range(1, size + 1):
        within_quota = given * total < turn * counts
        start = np.maximum((turn - 1) * share, given)  # in units of the class's seats
        hazard = (np.minimum(turn * share, given + 1) - start) / np.maximum(given + 1 - start, 1e-12)
        hazard = np.where(within_quota, np.clip(hazard, 0, 1), 0)
        variance = hazard * (1 - hazard)
        weight = hazard
        if variance.sum() > 1e-12:
            weight = np.clip(hazard + variance / variance.sum() * (1 - hazard.sum()), 0, None)
        due = -(-(given + seats) * total // counts)  # the turn by which each class must have its next ones
        deadlines = np.sort(due.ravel())
        tight = np.flatnonzero(deadlines - (turn - 1) <= np.arange(1, len(deadlines) + 1))
        if len(tight):
            urgent = within_quota & (due[0] <= deadlines[tight[0]])
            last = within_quota & (due[0] <= turn)
            for needed in (last, urgent):
                if needed.any():
                    weight = np.where(needed, np.maximum(weight, 1e-9), 0)
                    break
        cumulated = np.cumsum(weight)
        given[min(int(np.searchsorted(cumulated, draws[turn - 1] * cumulated[-1], side="right")), len(counts) - 1)] += 1
    return given


def _shuffled(indices: NDArray[np.intp], seed: int, label: int) -> NDArray[np.intp]:
    return indices[np.argsort(random_words(len(indices), seed, label), kind="stable")]
