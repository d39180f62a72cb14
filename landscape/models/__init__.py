"""Architectures by name for training; analyses take any `torch.nn.Module`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import nn

from landscape.errors import LandscapeError
from landscape.models.coursework import Coursework
from landscape.models.pyramidnet import PyramidNet
from landscape.models.resnet import ResNet
from landscape.models.shakeshake import ShakeShake
from landscape.models.wide_resnet import WideResNet

__all__ = ["MODELS", "Coursework", "PyramidNet", "ResNet", "ShakeShake", "WideResNet", "build"]

Factory: TypeAlias = Callable[..., nn.Module]


def _fixed(factory: Factory, **arguments: Any) -> Factory:
    """Return the factory with these arguments fixed and removed from its signature."""
    fixed = functools.partial(factory, **arguments)
    signature = inspect.signature(factory)
    remaining = [parameter for name, parameter in signature.parameters.items() if name not in arguments]
    setattr(fixed, "__signature__", signature.replace(parameters=remaining))  # noqa: B010  # for inspect.signature
    return fixed


DEPTHS = (20, 32, 44, 56, 110)

# The name of a family takes all its arguments; the other names are the networks of the papers.
MODELS: Mapping[str, Factory] = {
    **{f"resnet{depth}": _fixed(ResNet, depth=depth, shortcuts=True, norm="batch") for depth in DEPTHS},
    **{
        f"resnet{depth}-noshort": _fixed(ResNet, depth=depth, shortcuts=False, norm="batch", shortcut="appended")
        for depth in DEPTHS
    },
    "resnet20-gn": _fixed(ResNet, depth=20, shortcuts=True, norm="group"),
    "resnet": ResNet,
    "coursework": Coursework,
    "wrn28-10": _fixed(WideResNet, depth=28, k=10),
    "wrn": WideResNet,
    **{f"shakeshake26-2x{width}d": _fixed(ShakeShake, depth=26, width=width) for width in (32, 64, 96)},
    "shakeshake": ShakeShake,
    "pyramidnet110": _fixed(PyramidNet, depth=110, alpha=270, bottleneck=False, shakedrop=False),
    "pyramidnet272": _fixed(PyramidNet, depth=272, alpha=200, bottleneck=True, shakedrop=False),
    "pyramidnet272-shakedrop": _fixed(PyramidNet, depth=272, alpha=200, bottleneck=True, shakedrop=True),
    "pyramidnet": PyramidNet,
}


def build(name: str, **arguments: Any) -> nn.Module:
    """Return a new model with random weights drawn from torch's global generator.

    >>> sum(p.numel() for p in build("resnet20").parameters())  # as in He et al. 2016, table 6
    269722

    Args:
        name: A key of `MODELS`.
        **arguments: Arguments of the factory, such as `num_classes` and `in_channels`, all JSON-able.

    Raises:
        LandscapeError: for an unknown name, or arguments that the factory does not take.
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
