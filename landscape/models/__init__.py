"""The models that landscape trains itself, by name; the analysis half takes any `torch.nn.Module`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from landscape.errors import LandscapeError
from landscape.models.resnet import ResNet, resnet20, resnet32, resnet44, resnet56, resnet110

__all__ = ["MODELS", "ResNet", "build", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
    "resnet110": resnet110,
}


def build(name: str, **arguments: Any) -> nn.Module:
    """Return a new model with random weights drawn from torch's global generator.

    Args:
        name: A key of `MODELS`.
        **arguments: The factory's arguments, such as `num_classes` and `in_channels`; all are JSON-able.

    Raises:
        LandscapeError: Unknown name, or arguments that the factory does not take.
    """
    if name not in MODELS:
        raise LandscapeError(f"unknown model {name!r}: expected one of {', '.join(MODELS)}")
    factory = MODELS[name]
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        takes = ", ".join(inspect.signature(factory).parameters)
        raise LandscapeError(f"model {name} takes {takes}: {error}") from error
    return factory(**arguments)
