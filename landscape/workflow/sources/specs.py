"""Subject of a measurement: architecture, data, examples and loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelSpec:
    """The architecture of a weight file, and which of its entries are the weights.

    Args:
        name: `package.module:factory`, `file.py:factory`, or one of the package's models; the checkpoint's own if None.
        arguments: of the factory.
        weights_key: key of the weights in the file, such as "model_ema".
    """

    name: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights_key: str | None = None


@dataclass(frozen=True)
class DataSpec:
    """A data set, and how it becomes the model's input.

    Args:
        spec: "digits", "folder:PATH", ...; the data that the checkpoint was trained on if None.
        image_size: side that images of a folder are scaled and cropped to.
        mean: of each channel of images in [0, 1]; the checkpoint's if None.
        std: standard deviation of each channel.
        normalize: False passes images in [0, 1].
    """

    spec: str | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    normalize: bool = True


@dataclass(frozen=True)
class Sample:
    """The examples and the loss that are measured.

    Args:
        splits: of the data.
        size: examples of each split, a stratified sample; all if None.
        seed: of the sample.
        loss: "cross_entropy", "mse", or `package.module:function`.
        params: globs on the names of the parameters that move.
        device: "auto", "cpu", "cuda", ...
    """

    splits: tuple[str, ...] = ("train",)
    size: int | None = 2000
    seed: int = 0
    loss: str = "cross_entropy"
    params: str = "*"
    device: str = "auto"
