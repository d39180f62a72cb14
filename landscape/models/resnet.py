"""The CIFAR ResNets of He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, sec. 4.2."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from landscape.errors import LandscapeError
from landscape.models.layers import blocks_per_stage, check_positive, conv3x3, draw_convolutions, global_average

Norm: TypeAlias = Literal["batch", "group"]
Shortcut: TypeAlias = Literal["appended", "centered"]
CHANNELS_PER_GROUP = 16


class ResNet(nn.Module):
    """A CIFAR ResNet of depth 6n + 2: 3×3 stem, three stages of n basic blocks with 16, 32, 64 channels, linear head.

    Called with images (N, in_channels, H, W), H and W at least 8, it returns logits (N, num_classes). Convolutions are
    initialized as in He et al. 2015 (arXiv:1502.01852: normal, fan-in), the head as any linear layer of torch.

    Args:
        depth: 20, 32, 44, 56, 110 in the paper.
        num_classes: number of logits.
        in_channels: channels of the images.
        shortcuts: False removes the shortcuts, as in the `noshort` networks of Li et al. 2018 (arXiv:1712.09913). The
            number of parameters is the same, since option A has none.
        norm: "group" puts GroupNorm (Wu and He 2018, arXiv:1803.08494) with 16 channels per group instead of
            BatchNorm, so that no example depends on the others of its batch.
        shortcut: position of the zeros of the added channels in option A: "appended" after the existing ones (the
            authors' Torch code), or "centered", half before and half after them (a widely used PyTorch port). Weights
            of one fit the other by name and shape, but compute another function there.
    """

    def __init__(
        self,
        *,
        depth: int,
        num_classes: int = 10,
        in_channels: int = 3,
        shortcuts: bool = True,
        norm: Norm = "batch",
        shortcut: Shortcut = "appended",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels)
        if shortcut not in ("appended", "centered"):
            raise LandscapeError(f"unknown shortcut {shortcut!r}: expected appended or centered")
        if shortcut == "centered" and not shortcuts:
            raise LandscapeError("shortcut 'centered' needs shortcuts, and this network has none: leave it out")
        option = shortcut if shortcuts else None
        blocks = blocks_per_stage(depth, layers=6, others=2)
        self.conv1 = conv3x3(in_channels, 16)
        self.bn1 = _normalization(norm, 16)
        self.layer1 = _stage(blocks, 16, 16, 1, option, norm)
        self.layer2 = _stage(blocks, 16, 32, 2, option, norm)
        self.layer3 = _stage(blocks, 32, 64, 2, option, norm)
        self.linear = nn.Linear(64, num_classes)
        draw_convolutions(self, "fan_in")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, in_channels, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(global_average(x))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with their normalization, and the shortcut around them, if any."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut | None, norm: Norm) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = _normalization(norm, out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = _normalization(norm, out_channels)
        same = stride == 1 and in_channels == out_channels
        centered = shortcut == "centered"
        around = nn.Identity() if same else Subsample(stride, out_channels - in_channels, centered=centered)
        self.shortcut = None if shortcut is None else around

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(residual(x) + shortcut(x)), (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out if self.shortcut is None else out + self.shortcut(x))


class Subsample(nn.Module):
    """He et al.'s option A, the shortcut without parameters: every stride-th pixel, and zeros for the added channels.

    The zeros come after the existing channels, as in the authors' Torch code, or `centered`: half of them before.
    """

    def __init__(self, stride: int, added_channels: int, *, centered: bool = False) -> None:
        super().__init__()
        self.stride = stride
        before = added_channels // 2 if centered else 0
        self.padding = (0, 0, 0, 0, before, added_channels - before)  # (W, H, C), each before and after

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C + added_channels, ⌈H/stride⌉, ⌈W/stride⌉), in the memory layout of `x`."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def _normalization(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels)
    raise LandscapeError(f"unknown norm {norm!r}: expected batch or group")


def _stage(
    blocks: int, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut | None, norm: Norm
) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride, shortcut, norm)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1, shortcut, norm) for _ in range(blocks - 1)))
