"""Batched augmentation of uint8 images on the device, from random numbers keyed by seed and epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.seeding import random_words

Augment: TypeAlias = Literal["auto", "none", "crop", "crop-flip"]

DIGITS = frozenset({"digits", "svhn"})  # a mirrored digit is another symbol, or none


@dataclass(frozen=True)
class Augmentation:
    """Random changes of each training image: shift by up to `pad` pixels (black borders), flip, brightness, cutout."""

    pad: int = 0
    flip: bool = False
    brightness: float = 0.0  # maximum constant added to pixels scaled to 0…1; the sum is clipped to 0…1
    cutout: int = 0  # side of a square set to the mean, centred anywhere (DeVries & Taylor 2017)


def choose_augmentation(
    augment: Augment,
    kind: str,
    input_shape: tuple[int, ...],
    *,
    is_images: bool,
    brightness: float = 0.0,
    cutout: int = 0,
) -> Augmentation | None:
    """Return the augmentation for a data set, or None.

    "auto" crops and flips natural images and only crops digits (`digits`, `svhn`), which flipping would turn into other
    symbols; other inputs are not augmented. The padding is an eighth of the smaller side (4 pixels for 32×32 as in He
    et al. 2016, 1 for 8×8).

    >>> choose_augmentation("auto", "cifar10", (3, 32, 32), is_images=True)
    Augmentation(pad=4, flip=True, brightness=0.0, cutout=0)

    Raises:
        LandscapeError: if an augmentation is requested by name and the inputs are no images.
    """
    if not is_images:
        if augment not in ("auto", "none") or brightness or cutout:
            name = augment if augment not in ("auto", "none") else "brightness" if brightness else "cutout"
            raise LandscapeError(f"augment {name!r} needs uint8 images, not inputs of shape {input_shape}; use none")
        return None
    if augment == "none" and not brightness and not cutout:
        return None
    pad = 0 if augment == "none" else max(1, min(input_shape[-2:]) // 8)
    flip = augment == "crop-flip" or (augment == "auto" and kind not in DIGITS)
    return Augmentation(pad, flip, brightness, cutout)


def pad_images(images: Tensor, pad: int) -> Tensor:
    """Return images (N, C, H, W) as a contiguous (N, H + 2 pad, W + 2 pad, C) with black borders, ready for `crop`."""
    return F.pad(images.permute(0, 2, 3, 1), (0, 0, pad, pad, pad, pad)).contiguous()


@dataclass(frozen=True)
class Draws:
    """Random augmentation of each example of an epoch, in the order of the epoch."""

    rows: Tensor  # (N, H) int64, the pixels taken from the padded image
    columns: Tensor  # (N, W) int64, descending if mirrored
    added: Tensor | None = None  # (N,) int16, of pixels 0…255
    centres: Tensor | None = None  # (N, 2) int64, row and column of the hole's centre

    def __getitem__(self, positions: slice) -> Draws:
        """Return the draws at some positions of the epoch."""
        optional = (None if part is None else part[positions] for part in (self.added, self.centres))
        return Draws(self.rows[positions], self.columns[positions], *optional)


def draw_augmentation(
    augmentation: Augmentation, examples: int, size: tuple[int, int], *, seed: int, epoch: int, device: torch.device
) -> Draws:
    """Return the draws of an epoch for images of size (H, W): the same for every run of this seed and epoch.

    >>> cpu = torch.device("cpu")
    >>> draws = draw_augmentation(Augmentation(pad=1, flip=True), 2, (3, 3), seed=0, epoch=1, device=cpu)
    >>> draws.rows.tolist(), draws.columns.tolist()  # of the padded image; the second example is flipped
    ([[2, 3, 4], [2, 3, 4]], [[0, 1, 2], [3, 2, 1]])
    """
    random = random_words(3 * examples, seed, epoch, 1).reshape(3, examples, 1)
    choices = np.array([2 * augmentation.pad + 1, 2 * augmentation.pad + 1, 2], dtype=np.uint64)
    down, right, flip = torch.from_numpy((random % choices[:, None, None]).astype(np.int64)).to(device)
    height, width = (torch.arange(n, device=device) for n in size)
    mirrored = width + flip * int(augmentation.flip) * (size[1] - 1 - 2 * width)
    added = centres = None
    if augmentation.brightness:
        limit = round(255 * augmentation.brightness)
        levels = random_words(examples, seed, epoch, 2) % np.uint64(2 * limit + 1)
        added = torch.from_numpy(levels.astype(np.int16) - np.int16(limit)).to(device)
    if augmentation.cutout:
        centre = random_words(2 * examples, seed, epoch, 3).reshape(examples, 2) % np.array(size, dtype=np.uint64)
        centres = torch.from_numpy(centre.astype(np.int64)).to(device)
    return Draws(down + height, right + mirrored, added, centres)


def crop(padded: Tensor, index: Tensor, draws: Draws) -> Tensor:
    """Return examples `index` (B,) of padded images (N, H', W', C) as a channels_last (B, C, H, W), in one gather."""
    images = padded[index[:, None, None], draws.rows[:, :, None], draws.columns[:, None, :]].permute(0, 3, 1, 2)
    if draws.added is None:
        return images
    return (images.to(torch.int16) + draws.added[:, None, None, None]).clamp_(0, 255).to(torch.uint8)


def cut_out(inputs: Tensor, draws: Draws, side: int) -> Tensor:
    """Return preprocessed images (B, C, H, W) with a square around each centre set to 0, which is the mean."""
    if draws.centres is None:
        return inputs
    low = (draws.centres - side // 2)[:, :, None]  # (B, 2, 1)
    rows, columns = (torch.arange(n, device=inputs.device) for n in inputs.shape[-2:])
    inside_y = (rows >= low[:, 0]) & (rows < low[:, 0] + side)  # (B, H)
    inside_x = (columns >= low[:, 1]) & (columns < low[:, 1] + side)
    return inputs.masked_fill((inside_y[:, :, None] & inside_x[:, None, :])[:, None], 0.0)
