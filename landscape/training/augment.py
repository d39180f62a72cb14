"""Batched random crop and flip of uint8 images that stay on the device, from draws that a seed and an epoch fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.training.order import random_words

Augment: TypeAlias = Literal["auto", "none", "crop", "crop-flip"]

DIGITS = frozenset({"digits", "svhn"})  # a mirrored digit is another sign, or none


@dataclass(frozen=True)
class Augmentation:
    """What is done to each training image: shifted by up to `pad` pixels (black comes in), then maybe mirrored."""

    pad: int
    flip: bool


def choose(augment: Augment, kind: str, input_shape: tuple[int, ...], *, is_images: bool) -> Augmentation | None:
    """Return the augmentation for a data set, or None.

    "auto" crops and flips natural images and only crops digits (`digits`, `svhn`), which flipping would turn into
    something else; inputs that are not images are left alone. The padding is an eighth of the smaller side (4 pixels
    for 32×32 as in He et al. 2016, 1 for 8×8).

    Raises:
        LandscapeError: where cropping is asked for by name and the inputs are no images.
    """
    if not is_images and augment not in ("auto", "none"):
        raise LandscapeError(f"augment {augment!r} needs uint8 images, not inputs of shape {input_shape}; use none")
    if augment == "none" or not is_images:
        return None
    pad = max(1, min(input_shape[-2:]) // 8)
    flip = augment == "crop-flip" or (augment == "auto" and kind not in DIGITS)
    return Augmentation(pad=pad, flip=flip)


def pad_images(images: Tensor, pad: int) -> Tensor:
    """Return images (N, C, H, W) as a contiguous (N, H + 2 pad, W + 2 pad, C) with black borders, ready for `crop`."""
    return F.pad(images.permute(0, 2, 3, 1), (0, 0, pad, pad, pad, pad)).contiguous()


@dataclass(frozen=True)
class Draws:
    """The pixels that each example of an epoch, in the epoch's order, takes from its padded image."""

    rows: Tensor  # (N, H) int64
    columns: Tensor  # (N, W) int64, descending where mirrored


def draw(
    augmentation: Augmentation, examples: int, size: tuple[int, int], *, seed: int, epoch: int, device: torch.device
) -> Draws:
    """Return the draws of an epoch; they depend on the seed and the epoch alone, so that paired runs share them."""
    words = random_words(3 * examples, seed, epoch, 1).reshape(3, examples, 1)
    choices = np.array([2 * augmentation.pad + 1, 2 * augmentation.pad + 1, 2], dtype=np.uint64)
    down, right, flip = torch.from_numpy((words % choices[:, None, None]).astype(np.int64)).to(device)
    height, width = (torch.arange(n, device=device) for n in size)
    mirrored = width + flip * int(augmentation.flip) * (size[1] - 1 - 2 * width)
    return Draws(rows=down + height, columns=right + mirrored)


def crop(padded: Tensor, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return examples `index` (B,) of padded images (N, H', W', C) as a channels_last (B, C, H, W), in one gather."""
    return padded[index[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
