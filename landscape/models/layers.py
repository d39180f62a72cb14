"""Shared parts of the architectures: convolutions and their initialization, global pooling, checks of sizes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from landscape.errors import LandscapeError


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 1×1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution without bias whose output has the size of its input divided by the stride."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


def draw_convolutions(model: nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    """Initialize convolutions as in He et al. 2015 (arXiv:1502.01852): normal, of variance 2 / fan, eq. 10 or 14."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")


def global_average(x: Tensor) -> Tensor:
    """Return the mean (N, C) over the pixels of feature maps (N, C, H, W)."""
    return x.mean(dim=(2, 3))


def check_positive(**sizes: int) -> None:
    """Raise a LandscapeError that names a size that is not a positive integer."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise LandscapeError(f"{name} must be a positive integer, got {value!r}")


def blocks_per_stage(depth: int, *, layers: int, others: int) -> int:
    """Return n for a network of depth `layers` · n + `others`, with three stages of n blocks.

    >>> blocks_per_stage(20, layers=6, others=2)
    3

    Raises:
        LandscapeError: for a depth that is not of this form.
    """
    check_positive(depth=depth)
    if depth <= others or (depth - others) % layers:
        example = f"{layers + others}, {2 * layers + others}, {3 * layers + others}"
        raise LandscapeError(f"depth must be {layers}n + {others}, such as {example}, got {depth}")
    return (depth - others) // layers
