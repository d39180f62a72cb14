"""A split held whole on the device: uint8 images normalized batch by batch, other inputs unchanged."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.data import Dataset
from landscape.training.pipeline.augment import Augmentation, Draws, crop, cut_out, pad_images


class DeviceDataset:
    """Preprocessed batches of a split on the device; images are channels_last, and padded once if they get cropped.

    >>> from landscape.data import Split
    >>> split = Split(torch.full((4, 1, 8, 8), 51, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    >>> data = DeviceDataset(Dataset("example", {"train": split}, ("a", "b")), "train", torch.device("cpu"))
    >>> inputs, labels = data.batch(slice(0, 2))
    >>> inputs.shape, labels.tolist(), round(inputs.max().item(), 3)
    (torch.Size([2, 1, 8, 8]), [0, 1], 0.2)
    """

    def __init__(
        self, dataset: Dataset, split: str, device: torch.device, *, augmentation: Augmentation | None = None
    ) -> None:
        self.device = device
        self._cutout = 0 if augmentation is None else augmentation.cutout
        pad = 0 if augmentation is None else augmentation.pad
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
        """Return inputs (B, …) and labels (B,), un-augmented."""
        return self._preprocess(self._inputs[index]), self.labels[index]

    def augmented_batch(self, index: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the images at `index` (B,), augmented by `draws` of the same length, and their labels."""
        assert self._padded is not None, "only images are augmented"
        images = self._preprocess(crop(self._padded, index, draws))
        return cut_out(images, draws, self._cutout), self.labels[index]
