"""Paired runs: SAM and its base from the same weights, over the same examples in the same order and augmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from landscape.data import Dataset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint
from landscape.training.callbacks import EpochReport
from landscape.training.config.recipes import PAIRS, ResolvedConfig, TrainConfig
from landscape.training.loop import train
from landscape.training.settings import resolve


def pair_members(config: TrainConfig, *, equal_epochs: bool = False) -> tuple[TrainConfig, TrainConfig]:
    """Return the configurations of the SAM run and of the base run of a pair.

    The base trains for twice the epochs, so that both take the same number of gradients (as Foret et al. 2021, sec.
    3.1; epochs before `sam_from` count once), or with `equal_epochs` for as many. All other settings are shared, above
    all the seed: it determines the initial weights and, with the epoch, the order of the examples and their
    augmentation.

    >>> sam, base = pair_members(TrainConfig(recipe="pair", epochs=3))
    >>> (sam.recipe, sam.epochs), (base.recipe, base.epochs)
    (('sam', 3), ('adam', 6))

    Raises:
        LandscapeError: for a recipe that is no pair.
    """
    if config.recipe not in PAIRS:
        raise LandscapeError(
            f"a pair needs a recipe {' or '.join(map(repr, PAIRS))}, not {config.recipe!r}; train trains a single one"
        )
    sam, base = PAIRS[config.recipe]
    epochs = config.epochs if equal_epochs else 2 * config.epochs - (config.sam_from - 1)
    lr = config.lr if config.base_lr is None else config.base_lr
    shared = dataclasses.replace(config, base_lr=None)
    return (
        dataclasses.replace(shared, recipe=sam),
        dataclasses.replace(shared, recipe=base, epochs=epochs, lr=lr, sam_from=1),
    )


def resolve_pair(
    config: TrainConfig, dataset: Dataset, *, equal_epochs: bool = False
) -> tuple[ResolvedConfig, ResolvedConfig]:
    """Return the configurations of a pair (see `pair_members`) with nothing left open, in one precision.

    Raises:
        LandscapeError: as `resolve`, or for a recipe that is no pair.
    """
    first, second = pair_members(config, equal_epochs=equal_epochs)
    sam = resolve(first, dataset)
    return sam, resolve(dataclasses.replace(second, precision=sam.precision, compile=sam.compile), dataset)


def train_pair(
    config: TrainConfig,
    dataset: Dataset,
    *,
    equal_epochs: bool = False,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    command: str = "",
) -> dict[str, Checkpoint]:
    """Train both members of a pair (see `pair_members`) in one precision, and return their checkpoints by recipe.

    `on_epoch`, `on_step` and `command` are those of `train`; steps count from 0 for each member.

    >>> import torch
    >>> from landscape.data import Split
    >>> images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    >>> data = Dataset("example", {"train": Split(images, torch.arange(4) % 2)}, ("even", "odd"))
    >>> pair = train_pair(TrainConfig(recipe="pair", epochs=1, batch_size=4, device="cpu", precision="float32"), data)
    >>> {recipe: checkpoint.training["epochs_taken"] for recipe, checkpoint in pair.items()}
    {'sam': 1, 'adam': 2}

    Raises:
        LandscapeError: as `train`, or for a recipe that is no pair.
    """
    return {
        member.recipe: train(member, dataset, on_epoch=on_epoch, on_step=on_step, command=command)
        for member in resolve_pair(config, dataset, equal_epochs=equal_epochs)
    }
