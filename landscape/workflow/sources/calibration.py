"""Training examples augmented as in training: for BatchNorm's statistics, and for training a curve."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from landscape.data import Dataset, Split
from landscape.seeding import random_indices
from landscape.training.pipeline.augment import Augmentation, Draws, choose_augmentation, draw_augmentation
from landscape.training.pipeline.device_dataset import DeviceDataset
from landscape.training.pipeline.shuffling import epoch_order

if TYPE_CHECKING:
    from landscape.models.checkpoint import Checkpoint

EXAMPLES = 1000

_CPU = torch.device("cpu")


def calibration_inputs(dataset: Dataset, checkpoint: Checkpoint | None) -> Tensor:
    """Return random training examples, preprocessed, for `Objective(calibration=...)`.

    Images are augmented as the checkpoint's training augmented them. Its running statistics are those of such images,
    and its weights were fitted to them: for a network trained on cropped images (with black borders), the statistics of
    whole ones raise the loss.
    """
    order = torch.from_numpy(random_indices(len(dataset.splits["train"]), EXAMPLES))
    augmentation = augmentation_of(dataset, checkpoint)
    resident = DeviceDataset(_part(dataset, order), "train", _CPU, augmentation=augmentation)
    if augmentation is None:
        return resident.batch(slice(None))[0]
    draws = draw_augmentation(augmentation, len(order), resident.image_size, seed=0, epoch=1, device=_CPU)
    return resident.augmented_batch(torch.arange(len(order)), draws)[0]


def calibration_words(dataset: Dataset, checkpoint: Checkpoint | None) -> str:
    """Return a description of the result of `calibration_inputs`."""
    augmented = ", augmented as in training" if augmentation_of(dataset, checkpoint) else ""
    return f"{min(EXAMPLES, len(dataset.splits['train']))} random training examples{augmented}"


class AugmentedBatches:
    """Mini-batches of augmented training images by the number of the step; an epoch's order and draws are its own."""

    def __init__(self, dataset: Dataset, indices: slice | Tensor, augmentation: Augmentation, *, size: int, seed: int):
        self._augmentation, self._seed = augmentation, seed
        self._resident = DeviceDataset(_part(dataset, indices), "train", _CPU, augmentation=augmentation)
        self._size = min(size, len(self._resident))
        self._of_epoch: tuple[int, Tensor, Draws] | None = None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return a step's inputs and labels, on the CPU."""
        examples = len(self._resident)
        epoch, batch = divmod(step, examples // self._size)
        if self._of_epoch is None or self._of_epoch[0] != epoch:
            order = epoch_order(examples, seed=self._seed, epoch=epoch + 1, device=_CPU)
            size = self._resident.image_size
            draws = draw_augmentation(self._augmentation, examples, size, seed=self._seed, epoch=epoch + 1, device=_CPU)
            self._of_epoch = epoch, order, draws
        _, order, draws = self._of_epoch
        cut = slice(batch * self._size, (batch + 1) * self._size)
        return self._resident.augmented_batch(order[cut], draws[cut])


def augmentation_of(dataset: Dataset, checkpoint: Checkpoint | None) -> Augmentation | None:
    """Return the augmentation of a checkpoint's training; None if there was none."""
    if checkpoint is None or not checkpoint.data.get("augmented") or not dataset.is_images:
        return None
    training = checkpoint.training
    return choose_augmentation(
        training.get("augment", "auto"),
        dataset.kind,
        dataset.input_shape,
        is_images=True,
        brightness=float(training.get("brightness") or 0.0),
        cutout=int(training.get("cutout") or 0),
    )


def _part(dataset: Dataset, indices: slice | Tensor) -> Dataset:
    """Return the data with some of the training examples alone."""
    examples = dataset.splits["train"]
    return dataclasses.replace(dataset, splits={"train": Split(examples.inputs[indices], examples.labels[indices])})
