"""Wide residual networks: Zagoruyko and Komodakis 2016, "Wide Residual Networks", arXiv:1605.07146."""

from __future__ import annotations

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


class WideResNet(nn.Module):
    """A WRN-depth-k: 3×3 stem, three stages of (depth − 4)/6 pre-activation blocks with 16k, 32k, 64k channels, head.

    Called with images (N, in_channels, H, W), H and W at least 8, it returns logits (N, num_classes). As in the
    authors' code, convolutions are drawn as in He et al. 2015 with fan-out, and the head's bias is zero.

    Args:
        depth: 6n + 4, such as 28.
        k: widening factor, such as 10.
        num_classes: number of logits.
        in_channels: channels of the images.
        dropout: probability of dropping a value between the convolutions of a block; 0.3 in the paper's `-dropout`.
    """

    def __init__(
        self, *, depth: int, k: int, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_positive(k=k, num_classes=num_classes, in_channels=in_channels)
        if not 0 <= dropout < 1:
            raise LandscapeError(f"dropout must be a probability from 0 to below 1, got {dropout}")
        blocks = blocks_per_stage(depth, layers=6, others=4)
        self.conv1 = conv3x3(in_channels, 16)
        self.layer1 = _stage(blocks, 16, 16 * k, 1, dropout)
        self.layer2 = _stage(blocks, 16 * k, 32 * k, 2, dropout)
        self.layer3 = _stage(blocks, 32 * k, 64 * k, 2, dropout)
        self.bn1 = nn.BatchNorm2d(64 * k)
        self.linear = nn.Linear(64 * k, num_classes)
        draw_convolutions(self, "fan_out")
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, in_channels, H, W)."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(global_average(F.relu(self.bn1(x))))  # type: ignore[no-any-return]


class WideBlock(nn.Module):
    """BatchNorm, ReLU, 3×3, BatchNorm, ReLU, dropout, 3×3; the shortcut takes `x`, or the activation if widened."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = conv3x3(out_channels, out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = None if same else conv1x1(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return residual(x) + shortcut(x), (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        active = F.relu(self.bn1(x))
        out = self.dropout(F.relu(self.bn2(self.conv1(active))))
        around = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(out) + around  # type: ignore[no-any-return]


def _stage(blocks: int, in_channels: int, out_channels: int, stride: int, dropout: float) -> nn.Sequential:
    first = WideBlock(in_channels, out_channels, stride, dropout)
    return nn.Sequential(first, *(WideBlock(out_channels, out_channels, 1, dropout) for _ in range(blocks - 1)))
