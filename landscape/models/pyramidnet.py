"""PyramidNets: Han et al. 2017 (arXiv:1610.02915), optionally with ShakeDrop: Yamada et al. 2018 (arXiv:1802.02375)."""

from __future__ import annotations

import math

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

LAST_SURVIVAL = 0.5  # ShakeDrop's p_L, that of the last block


class PyramidNet(nn.Module):
    """An additive PyramidNet: the width grows by α / L at each of the L blocks, from 16 to 16 + α.

    3×3 stem with BatchNorm, three stages of n blocks, linear head. Called with images (N, in_channels, H, W), H and W
    at least 8, it returns logits (N, num_classes). As in the authors' code, widths are rounded (eq. 2 of the paper
    rounds down, which gives slightly fewer parameters if L does not divide α), convolutions are drawn as in He et al.
    2015 with fan-out, and the head's bias is zero.

    Args:
        depth: 6n + 2 with basic blocks, such as 110; 9n + 2 with bottlenecks, such as 272.
        alpha: total growth of the width: 48, 84 and 270 for depth 110, 200 for depth 272.
        num_classes: number of logits.
        in_channels: channels of the images.
        bottleneck: 1×1, 3×3 and 1×1 convolutions in each block, the last four times as wide, instead of two 3×3.
        shakedrop: applies ShakeDrop to each block, with α ∈ [−1, 1], β ∈ [0, 1] and p_L = 0.5.
    """

    def __init__(
        self,
        *,
        depth: int,
        alpha: float,
        num_classes: int = 10,
        in_channels: int = 3,
        bottleneck: bool = False,
        shakedrop: bool = False,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels)
        if not 0 <= alpha < math.inf:
            raise LandscapeError(f"alpha must be a finite number of at least 0, got {alpha}")
        per_stage = blocks_per_stage(depth, layers=9 if bottleneck else 6, others=2)
        total, expansion = 3 * per_stage, 4 if bottleneck else 1
        self.conv1 = conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        channels, blocks = 16, []
        for number in range(1, total + 1):
            width = math.floor(16 + alpha * number / total + 0.5)
            stride = 2 if number in (per_stage + 1, 2 * per_stage + 1) else 1
            survival = 1 - number / total * (1 - LAST_SURVIVAL) if shakedrop else None  # linear decay over the depth
            residual = _bottleneck(channels, width, stride) if bottleneck else _basic(channels, width, stride)
            blocks.append(PyramidBlock(residual, stride, expansion * width - channels, survival))
            channels = expansion * width
        self.layer1 = nn.Sequential(*blocks[:per_stage])
        self.layer2 = nn.Sequential(*blocks[per_stage : 2 * per_stage])
        self.layer3 = nn.Sequential(*blocks[2 * per_stage :])
        self.bn2 = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)
        draw_convolutions(self, "fan_out")
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, in_channels, H, W)."""
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)))))
        return self.linear(global_average(F.relu(self.bn2(x))))  # type: ignore[no-any-return]


class PyramidBlock(nn.Module):
    """A residual branch, with or without ShakeDrop; a strided shortcut is average-pooled, added channels are zero."""

    def __init__(self, residual: nn.Sequential, stride: int, added_channels: int, survival: float | None) -> None:
        super().__init__()
        self.residual = residual
        self.shakedrop = nn.Identity() if survival is None else ShakeDrop(survival)
        self.stride = stride
        self.added_channels = added_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return residual(x) + shortcut(x); there is no ReLU after it."""
        around = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        return self.shakedrop(self.residual(x)) + F.pad(around, (0, 0, 0, 0, 0, self.added_channels))  # type: ignore[no-any-return]


class ShakeDrop(nn.Module):
    """Scales a residual branch by b + α − bα, its gradient by b + β − bβ, and by the mean in evaluation mode (eq. 6).

    b ~ Bernoulli(p), α ~ U(−1, 1) and β ~ U(0, 1) are drawn for each image, as in the code of the SAM paper.
    """

    def __init__(self, survival: float) -> None:
        super().__init__()
        self.survival = survival

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, C, H, W) scaled."""
        if not self.training:
            return self.survival * x  # E[b + α − bα] = p, since E[α] = 0
        alpha, beta = uniform_per_image(x, -1, 1), uniform_per_image(x)
        kept = uniform_per_image(x) < self.survival
        one = torch.ones_like(alpha)
        return shaken(x, torch.where(kept, one, alpha), torch.where(kept, one, beta))


def _basic(in_channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        conv3x3(in_channels, width, stride),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        conv3x3(width, width),
        nn.BatchNorm2d(width),
    )


def _bottleneck(in_channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        conv1x1(in_channels, width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        conv3x3(width, width, stride),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        conv1x1(width, 4 * width),
        nn.BatchNorm2d(4 * width),
    )
