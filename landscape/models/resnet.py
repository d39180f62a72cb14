"""The CIFAR ResNets of He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, sec. 4.2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from landscape.errors import LandscapeError


class ResNet(nn.Module):
    """A CIFAR ResNet of depth 6n + 2: 3×3 stem, three stages of n basic blocks with 16, 32, 64 channels, linear head.

    Called with images (N, in_channels, H, W), H and W at least 8, it returns logits (N, num_classes). Convolutions are
    drawn as in He et al. 2015 (arXiv:1502.01852: normal, fan-in), the head as torch draws any linear layer.
    """

    def __init__(self, blocks: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise LandscapeError(f"{name} must be a positive integer, got {value!r}")
        self.conv1 = _conv3x3(in_channels, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(blocks, 16, 16, stride=1)
        self.layer2 = _stage(blocks, 16, 32, stride=2)
        self.layer3 = _stage(blocks, 32, 64, stride=2)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, in_channels, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with BatchNorm and the shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else Subsample(stride, out_channels - in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(residual(x) + shortcut(x)), (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class Subsample(nn.Module):
    """He et al.'s option A, the shortcut without parameters: every stride-th pixel, and zeros for the added channels.

    The zeros all come after the channels that exist, as in the authors' Torch code. (Some later ports put half of them
    before: weights made there compute something else here.)
    """

    def __init__(self, stride: int, added_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.added_channels = added_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C + added_channels, ⌈H/stride⌉, ⌈W/stride⌉), in the memory layout of `x`."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added_channels))


def resnet20(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return a ResNet-20: 269,722 parameters for 10 classes and 3 channels."""
    return ResNet(3, num_classes, in_channels)


def resnet32(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return a ResNet-32."""
    return ResNet(5, num_classes, in_channels)


def resnet44(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return a ResNet-44."""
    return ResNet(7, num_classes, in_channels)


def resnet56(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return a ResNet-56."""
    return ResNet(9, num_classes, in_channels)


def resnet110(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return a ResNet-110."""
    return ResNet(18, num_classes, in_channels)


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


def _stage(blocks: int, in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))
