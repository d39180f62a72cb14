"""Shake-Shake networks: Gastaldi 2017, "Shake-Shake regularization", arXiv:1705.07485."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.errors import LandscapeError
from landscape.models.layers import (
    blocks_per_stage,
    check_positive,
    conv1x1,
    conv3x3,
    draw_convolutions,
    global_average,
)
from landscape.models.shake import shaken, uniform_per_image


class ShakeShake(nn.Module):
    """A "depth 2×width d" Shake-Shake network: two residual branches per block, mixed at random in training.

    3×3 stem, three stages of (depth − 2)/6 blocks with width, 2 width, 4 width channels, linear head. The mixture is
    the paper's Shake-Shake-Image: one random number per image, block and pass, and half of each branch in evaluation
    mode. Called with images (N, in_channels, H, W), H and W at least 8, it returns logits (N, num_classes).
    As in the author's code, convolutions are drawn as in He et al. 2015 with fan-out, and the head's bias is zero.

    Args:
        depth: 6n + 2; 26 in the paper.
        width: channels of the first stage, an even number; 32, 64 and 96 in the paper.
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, *, depth: int, width: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        check_positive(width=width, num_classes=num_classes, in_channels=in_channels)
        if width % 2:
            raise LandscapeError(f"width must be even, as each path of a shortcut gives half of it, got {width}")
        blocks = blocks_per_stage(depth, layers=6, others=2)
        self.conv1 = conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, width, 1)
        self.layer2 = _stage(blocks, width, 2 * width, 2)
        self.layer3 = _stage(blocks, 2 * width, 4 * width, 2)
        self.linear = nn.Linear(4 * width, num_classes)
        draw_convolutions(self, "fan_out")
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, in_channels, H, W)."""
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)))))
        return self.linear(global_average(F.relu(x)))  # type: ignore[no-any-return]


class ShakeShakeBlock(nn.Module):
    """Two branches, each ReLU, 3×3, BatchNorm, ReLU, 3×3, BatchNorm, their random mixture, and the shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch1 = _branch(in_channels, out_channels, stride)
        self.branch2 = _branch(in_channels, out_channels, stride)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else TwoPaths(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return shortcut(x) + α · branch1(x) + (1 − α) · branch2(x), (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        around, active = self.shortcut(x), F.relu(x)
        first, second = self.branch1(active), self.branch2(active)
        if self.training:
            alpha, beta = uniform_per_image(first), uniform_per_image(first)
            mixed = shaken(first, alpha, beta) + shaken(second, 1 - alpha, 1 - beta)
        else:
            mixed = 0.5 * (first + second)
        return around + mixed  # type: ignore[no-any-return]


class TwoPaths(nn.Module):
    """The shortcut to more channels: two 1×1 convolutions of relu(x), one shifted by a pixel, then one BatchNorm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, out_channels // 2, stride)
        self.conv2 = conv1x1(in_channels, out_channels // 2, stride)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        x = F.relu(x)
        shifted = F.pad(x, (1, -1, 1, -1))  # right and down: with a stride it sees the pixels that the other does not
        return self.bn(torch.cat([self.conv1(x), self.conv2(shifted)], dim=1))  # type: ignore[no-any-return]


def _branch(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Return a branch without its first ReLU, which both branches share."""
    return nn.Sequential(
        conv3x3(in_channels, out_channels, stride),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        conv3x3(out_channels, out_channels),
        nn.BatchNorm2d(out_channels),
    )


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    first = ShakeShakeBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(ShakeShakeBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))
