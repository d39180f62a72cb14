"""A split held whole on the device: uint8 images as one tensor, normalized batch by batch; other inputs as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.data import Dataset
from landscape.training.augment import Draws, crop, pad_images


class Resident:
    """Batches of a split, preprocessed on the device; images are channels_last, and padded once if they get cropped."""

    def __init__(self, dataset: Dataset, split: str, device: torch.device, *, pad: int = 0) -> None:
        self.device = device
        self.labels = dataset.splits[split].labels.to(device)
        self._preprocess = dataset.preprocess
        inputs = dataset.splits[split].inputs.to(device)
        self.image_size = (inputs.shape[-2], inputs.shape[-1]) if dataset.is_images else (0, 0)
        self._padded = pad_images(inputs, pad) if dataset.is_images else None  # (N, H', W', C)
        if self._padded is not None:
            height, width = self.image_size
            self._inputs = self._padded[:, pad : pad + height, pad : pad + width].permute(0, 3, 1, 2)  # a view
        else:
            self._inputs = inputs

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and labels as they are, un-augmented."""
        return self._preprocess(self._inputs[index]), self.labels[index]

    def augmented_batch(self, index: Tensor, draws: Draws, positions: slice) -> tuple[Tensor, Tensor]:
        """Return images cropped and mirrored by the draws at these positions of the epoch, and their labels."""
        assert self._padded is not None, "only images are augmented"
        images = crop(self._padded, index, draws.rows[positions], draws.columns[positions])
        return self._preprocess(images), self.labels[index]
