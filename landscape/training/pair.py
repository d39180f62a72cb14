"""Paired runs: SAM and its base from the same weights, over the same examples in the same order and augmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from landscape.data import Dataset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint
from landscape.training.loop import EpochReport, train
from landscape.training.recipes import PAIRS, TrainConfig
from landscape.training.settings import resolve


def pair_members(config: TrainConfig, *, equal_epochs: bool = False) -> tuple[TrainConfig, TrainConfig]:
    """Return the configurations of a pair's SAM run and of its base's.

    The base trains for twice the epochs, so that both take the same number of gradients (Foret et al. 2021 compare so),
    or with `equal_epochs` for as many. All else is shared, the seed above all: it fixes the initial weights, and with
    the number of the epoch the order of the examples and the augmentation draws.
    """
    if config.recipe not in PAIRS:
        raise LandscapeError(
            f"a pair needs a recipe {' or '.join(map(repr, PAIRS))}, not {config.recipe!r}; train trains a single one"
        )
    sam, base = PAIRS[config.recipe]
    epochs = config.epochs if equal_epochs else 2 * config.epochs
    lr = config.lr if config.base_lr is None else config.base_lr
    shared = dataclasses.replace(config, base_lr=None)
    return dataclasses.replace(shared, recipe=sam), dataclasses.replace(shared, recipe=base, epochs=epochs, lr=lr)


def train_pair(
    config: TrainConfig,
    dataset: Dataset,
    *,
    equal_epochs: bool = False,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    command: str = "",
) -> dict[str, Checkpoint]:
    """Return the checkpoints of a pair by recipe, SAM's first (see `pair_members`), in one precision.

    `on_epoch`, `on_step` and `command` are those of `train`; the steps are counted afresh for each member.
    """
    members = pair_members(resolve(config, dataset), equal_epochs=equal_epochs)
    return {
        member.recipe: train(member, dataset, on_epoch=on_epoch, on_step=on_step, command=command) for member in members
    }
