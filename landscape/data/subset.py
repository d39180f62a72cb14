"""Subsets that keep the class proportions, the same on every machine, each inside every larger one."""

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

LOOK_AHEAD = 6  # seats of each class whose deadlines are looked at; fewer can miss a quota
_TURNS = (0, 7, 1)  # key of the turns' random numbers, beside the seed; those of examples have (seed, class)

HOLD_OUT_SEED = 1_000_003  # of its own, so that a hold-out is no prefix of the subsets that analyses measure on


def stratified_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return `size` sorted indices whose classes keep the proportions of `labels`, each to within one example.

    Subsets of one seed are nested: a smaller one lies inside a larger one, and every class holds ⌊size·p⌋ or ⌈size·p⌉
    examples at every size. Over seeds every example is included with the same probability size/N: exactly where all
    classes have equally many examples, to a few per cent elsewhere (10 % of it in subsets of a dozen examples). Which
    class has the next place is drawn as in `_random_turns`, which of its examples a class gives is drawn too (NumPy
    Philox keyed by seed and class).

    Args:
        labels: (N,) integer classes.
        size: How many indices; all N where it is N or more.
        seed: Not negative.

    Returns:
        (min(size, N),) int64 indices, ascending.

    Raises:
        LandscapeError: `size` below one, or a negative seed.
    """
    return _subset(labels, size, seed, lambda counts: _random_turns(counts, size, seed))


def quota_subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return indices as `stratified_subset` does, the numbers of each class the same for every seed.

    For splits and reference samples that checkpoints record. Equal to `stratified_subset` where every class has as many
    examples and `size` is a multiple of their number. It is no fair sample of long tails: the places left for rare
    classes always go to the same ones (Balinski & Young 1975, "The Quota Method of Apportionment").
    """
    return _subset(labels, size, seed, lambda counts: _turns(counts, size))


def _subset(
    labels: Tensor, size: int, seed: int, share_out: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> Tensor:
    if size < 1:
        raise LandscapeError(f"a subset needs at least 1 example, got {size}")
    if seed < 0:
        raise LandscapeError(f"a seed is not negative, got {seed}")
    count = len(labels)
    if size >= count:
        return torch.arange(count)
    classes, inverse, counts = np.unique(labels.cpu().numpy(), return_inverse=True, return_counts=True)
    orders = [_shuffled(np.flatnonzero(inverse == place), seed, int(value)) for place, value in enumerate(classes)]
    given = share_out(counts.astype(np.int64))
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
    """Return what is left of a split, and the `quota_subset` of that many examples that was taken out.

    Raises:
        LandscapeError: where nothing would be taken, or nothing left.
    """
    if not 1 <= examples < len(split):
        raise LandscapeError(f"cannot hold out {examples} of {len(split)} examples; expected 1…{len(split) - 1}")
    taken = torch.zeros(len(split), dtype=torch.bool)
    taken[quota_subset(split.labels, examples, seed)] = True
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


def _random_turns(counts: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Return how many of the first `size` turns each class has, the turns drawn at random.

    Within quota at every turn t: class c has ⌊t·p⌋ or ⌈t·p⌉ of the first t, p its share of the examples. Its k-th turn
    is to fall uniformly into [(k − 1)/p, k/p], so that each turn is the class's with probability p. A turn therefore
    goes to a class with its hazard rate, the probability of falling into this turn if it has not before; since exactly
    one class must have it, the rates are conditioned on a sum of 1 (to first order: by each one's share of the
    variance). Where turns left before some deadline are as few as the seats due by then, one of those has it.
    """
    if (counts == counts[0]).all():  # every round gives each class one turn, in an order of its own
        rounds = -(-size // len(counts))
        words = random_words(rounds * len(counts), seed, *_TURNS).reshape(rounds, len(counts))
        whole = np.full_like(counts, size // len(counts))
        whole[np.argsort(words[-1], kind="stable")[: size % len(counts)]] += 1
        return whole
    draws = random_words(size, seed, *_TURNS) / 2.0**64
    total = int(counts.sum())
    share, given, seats = counts / total, np.zeros_like(counts), np.arange(1, LOOK_AHEAD + 1)[:, None]
    for turn in range(1, size + 1):
        within_quota = given * total < turn * counts
        start = np.maximum((turn - 1) * share, given)  # in units of the class's own turns
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
