"""The network of the coursework: a small bottleneck network as built in Keras, called ResNet-20 by its authors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from landscape.models.layers import check_positive, global_average

STAGES = ((16, 64, 1), (64, 128, 2), (128, 256, 2))  # inner width, output width, stride of each


class Coursework(nn.Module):
    """Three stages of two bottleneck blocks: 571,114 parameters for 10 classes and 3 channels.

    Keras counts 575,114, with BatchNorm's running statistics. Called with images (N, in_channels, H, W), H and W at
    least 8, it returns logits (N, num_classes). It is not the ResNet-20 of He et al., which has 269,722 parameters, but
    serves to repeat the coursework. As in Keras, convolutions and the head are drawn from a normal distribution of
    variance 2 / fan-in truncated at two standard deviations, biases are zero, and BatchNorm has ε = 0.001 and a
    momentum of 0.99 in Keras's sense.
    """

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels)
        self.conv1 = nn.Conv2d(in_channels, 16, kernel_size=3, padding=1)
        self.bn1 = _batch_norm(16)
        width, stages = 16, []
        for inner, out, stride in STAGES:
            stages.append(nn.Sequential(Bottleneck(width, inner, out, stride), Bottleneck(out, inner, out, 1)))
            width = out
        self.layer1, self.layer2, self.layer3 = stages
        self.bn2 = _batch_norm(width)
        self.linear = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                _he_normal(module)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, in_channels, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(global_average(F.relu(self.bn2(x))))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions with bias and BatchNorm; a 1×1 shortcut if the width changes."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, inner, kernel_size=1)
        self.bn1 = _batch_norm(inner)
        self.conv2 = nn.Conv2d(inner, inner, kernel_size=3, stride=stride, padding=1)
        self.bn2 = _batch_norm(inner)
        self.conv3 = nn.Conv2d(inner, out_channels, kernel_size=1)
        self.bn3 = _batch_norm(out_channels)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(residual(x) + shortcut(x)), (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)  # torch's momentum is 1 − Keras's


def _he_normal(layer: nn.Conv2d | nn.Linear) -> None:
    # Keras corrects for the truncation, so that the variance is 2 / fan-in: a unit normal truncated at ±2 has 0.87963².
    std = (2 / layer.weight[0].numel()) ** 0.5 / 0.87962566103423978
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
