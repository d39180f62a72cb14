"""Classification data sets in memory: a tensor of inputs and one of labels per split, and their preprocessing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError

Normalization: TypeAlias = Literal["measured", "stated", "none"]


@dataclass(frozen=True, eq=False)
class Split:
    """Examples of one split."""

    inputs: Tensor  # images (N, C, H, W) uint8, or tensors (N, …) of any dtype, used unchanged
    labels: Tensor  # (N,) int64

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != torch.int64:
            raise LandscapeError(f"labels must be (N,) int64, got {_kind(self.labels)}")
        if self.inputs.ndim < 1 or len(self.inputs) != len(self.labels):
            raise LandscapeError(f"{len(self.labels)} labels do not fit inputs of {_kind(self.inputs)}")
        if len(self.labels) == 0:
            raise LandscapeError("a split needs at least one example, got none")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set with its splits in memory.

    >>> images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    >>> data = Dataset("python", {"train": Split(images, torch.tensor([0, 1, 0, 1]))}, ("cat", "dog"))
    >>> data.input_shape, data.is_images
    ((3, 8, 8), True)

    Raises:
        LandscapeError: for splits, labels or a normalization that do not fit each other.
    """

    kind: str  # "digits", "cifar10", "cifar100", "svhn", "folder", "npz" or "python"
    splits: Mapping[str, Split]  # "train" and optionally "validation" and "test"
    classes: tuple[str, ...]  # names, indexed by the labels
    mean: tuple[float, ...] | None = None  # per channel, of images scaled to 0…1; None: not normalized
    std: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()  # remarks for readers of results, one sentence each
    name: str = ""  # display name; the kind by default
    normalization: Normalization = "stated"  # origin of mean and std; "none" without them
    _fingerprints: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _constants: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if "train" not in self.splits:
            raise LandscapeError(f"a data set needs a train split, got {', '.join(self.splits) or 'none'}")
        kinds = {name: (split.inputs.dtype, split.inputs.shape[1:]) for name, split in self.splits.items()}
        for name, split in self.splits.items():
            if kinds[name] != kinds["train"]:
                train = self.splits["train"].inputs
                raise LandscapeError(f"train inputs are {_kind(train)}, but {name} inputs {_kind(split.inputs)}")
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= len(self.classes):
                raise LandscapeError(
                    f"{name} labels must lie in 0…{len(self.classes) - 1} for {len(self.classes)} classes, "
                    f"got {low}…{high}"
                )
        if self.mean is None and self.std is None:
            object.__setattr__(self, "normalization", "none")
        else:
            self._check_normalization(self.mean, self.std)

    def _check_normalization(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        if not self.is_images:
            raise LandscapeError("mean and std are for uint8 images (N, C, H, W); these inputs are used as they are")
        if mean is None or std is None:
            raise LandscapeError("mean and std go together, only one was given")
        channels = self.input_shape[0]
        if len(mean) != channels or len(std) != channels:
            raise LandscapeError(
                f"mean and std need {channels} values, one per channel, got {len(mean)} and {len(std)}"
            )
        if not all(0 <= value <= 1 for value in mean):
            raise LandscapeError(f"mean is of images scaled to 0…1, got {list(mean)}; divide by 255")
        if not all(0 < value < float("inf") for value in std):
            raise LandscapeError(f"std must be positive, got {list(std)}")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, (C, H, W) for images."""
        return tuple(self.splits["train"].inputs.shape[1:])

    @property
    def is_images(self) -> bool:
        """True for uint8 images (N, C, H, W), which `preprocess` scales and normalizes."""
        inputs = self.splits["train"].inputs
        return inputs.dtype == torch.uint8 and inputs.ndim == 4

    def fingerprint(self, split: str) -> str:
        """Return 64 hexadecimal digits that identify the examples of `split`, independent of their order.

        The sum modulo 2²⁵⁶ of one SHA-256 per example, over its dtype, shape, bytes (row-major) and label.
        """
        if split not in self._fingerprints:
            self._fingerprints[split] = _fingerprint(self.splits[split])
        return self._fingerprints[split]

    def preprocess(self, x: Tensor) -> Tensor:
        """Return the model's input of a batch: float32 (x / 255 − mean) / std of uint8 images, other inputs unchanged.

        The result is on the device of `x`, in its memory layout.
        """
        if not (self.is_images and x.dtype == torch.uint8):
            return x
        scale, shift = self._scale_and_shift(x.device)
        return x.to(torch.float32).mul_(scale).add_(shift)

    def _scale_and_shift(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return (C, 1, 1) factors and summands of the normalization as one affine map of 0…255, cached per device."""
        if device not in self._constants:
            mean = torch.tensor(self.mean or [0.0] * self.input_shape[0], dtype=torch.float64)
            std = torch.tensor(self.std or [1.0] * self.input_shape[0], dtype=torch.float64)
            scale, shift = (1 / (255 * std)).float(), (-mean / std).float()
            self._constants[device] = (scale.view(-1, 1, 1).to(device), shift.view(-1, 1, 1).to(device))
        return self._constants[device]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_constants": {}}  # they lie on devices of this process

    def describe(self) -> dict[str, Any]:
        """Return the identity of the data for checkpoints and results, JSON-able and without paths."""
        return {
            "kind": self.kind,
            "name": self.name or self.kind,
            "classes": list(self.classes),
            "mean": None if self.mean is None else list(self.mean),
            "std": None if self.std is None else list(self.std),
            "normalization": self.normalization,
            "input_shape": list(self.input_shape),
            "examples": {name: len(split) for name, split in self.splits.items()},
            "fingerprints": {name: self.fingerprint(name) for name in self.splits},
            "notes": list(self.notes),
        }


def measure_normalization(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return per-channel mean and standard deviation of uint8 images (N, C, H, W) scaled to 0…1, to four decimals.

    Computed from exact counts of the 256 values, so that they are the same on every machine. The standard deviation of
    a constant channel is 1.

    >>> measure_normalization(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    ((0.5,), (0.5,))
    """
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(images), 1024):
        pixels = images[start : start + 1024].cpu().numpy()
        for channel, row in enumerate(counts):
            row += np.bincount(pixels[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    weights = counts / counts.sum(axis=1, keepdims=True)
    mean = weights @ values
    std = np.sqrt((weights * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(round(m, 4) for m in mean.tolist()), tuple(round(s, 4) or 1.0 for s in std.tolist())


def _fingerprint(split: Split) -> str:
    header = f"{split.inputs.dtype} {tuple(split.inputs.shape[1:])} ".encode()
    total = 0
    for start in range(0, len(split), 1024):
        inputs = split.inputs[start : start + 1024].contiguous().cpu()
        rows = inputs.reshape(len(inputs), -1).view(torch.uint8).numpy()
        for row, label in zip(rows, split.labels[start : start + 1024].tolist(), strict=True):
            digest = hashlib.sha256(header + label.to_bytes(8, "little"))
            digest.update(row)
            total += int.from_bytes(digest.digest(), "little")
    return f"{total % 2**256:064x}"


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
