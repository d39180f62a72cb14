"""The training examples that BatchNorm's statistics are re-estimated from, augmented as in training."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from landscape.analysis.batchnorm import calibration_order
from landscape.data import Dataset, Split
from landscape.training.augment import Augmentation, choose, draw
from landscape.training.resident import Resident

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.checkpoint import Checkpoint

EXAMPLES = 1000


def calibration_inputs(dataset: Dataset, checkpoint: Checkpoint | None) -> Tensor:
    """Return random training examples, preprocessed, for `Objective(calibration=...)`.

    Images are augmented as the checkpoint's training augmented them. Its running statistics are those of such images,
    and its weights were fitted to them: for a network trained on cropped images (with black borders), the statistics of
    whole ones raise the loss.
    """
    split = dataset.splits["train"]
    order = torch.from_numpy(calibration_order(len(split), EXAMPLES))
    part = dataclasses.replace(dataset, splits={"train": Split(split.inputs[order], split.labels[order])})
    augmentation, device = _augmentation(dataset, checkpoint), torch.device("cpu")
    resident = Resident(part, "train", device, augmentation=augmentation)
    if augmentation is None:
        return resident.batch(slice(None))[0]
    draws = draw(augmentation, len(order), resident.image_size, seed=0, epoch=1, device=device)
    return resident.augmented_batch(torch.arange(len(order)), draws)[0]


def calibration_words(dataset: Dataset, checkpoint: Checkpoint | None) -> str:
    """Return what `calibration_inputs` gives, for people."""
    augmented = ", augmented as in training" if _augmentation(dataset, checkpoint) else ""
    return f"{min(EXAMPLES, len(dataset.splits['train']))} random training examples{augmented}"


def _augmentation(dataset: Dataset, checkpoint: Checkpoint | None) -> Augmentation | None:
    if checkpoint is None or not checkpoint.data.get("augmented") or not dataset.is_images:
        return None
    training = checkpoint.training
    return choose(
        training.get("augment", "auto"),
        dataset.kind,
        dataset.input_shape,
        is_images=True,
        brightness=float(training.get("brightness") or 0.0),
        cutout=int(training.get("cutout") or 0),
    )
