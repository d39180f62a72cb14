"""Convolutions with second derivatives by the same fast kernels as first ones.

torch computes the second derivative of a convolution with kernels as large as the image, which took 1.4 times as long
per product of ResNet-20 on a CPU. Here it consists of four ordinary convolutions.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Sizes: TypeAlias = tuple[int, ...]
Settings: TypeAlias = tuple[Sizes, Sizes, Sizes, int]  # stride, padding, dilation, groups

_DIMENSIONS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_only_slopes = [0]  # number of threads in the context; a list, which the threads of a GPU's backward pass share
_counting = threading.Lock()


@contextlib.contextmanager
def only_slopes() -> Iterator[None]:
    """Differentiate gradients by the slopes alone within this context, for J v, in a third of the time.

    Autograd skips whole functions that are not needed, but not parts of one.
    """
    with _counting:
        _only_slopes[0] += 1
    try:
        yield
    finally:
        with _counting:
            _only_slopes[0] -= 1


class FastConvolutions(TorchFunctionMode):
    """Context in which `conv1d`, `conv2d` and `conv3d` are those of this module."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DIMENSIONS:
            return _convolution(_DIMENSIONS[func], func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _convolution(
    dimensions: int,
    func: Any,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if isinstance(padding, str) or x.ndim != dimensions + 2:  # "same", or one example without its batch
        return func(x, weight, bias, stride, padding, dilation, groups)
    stride, padding, dilation = (_sizes(value, dimensions) for value in (stride, padding, dilation))
    return _Convolution.apply(x, weight, bias, (stride, padding, dilation, groups))  # type: ignore[no-untyped-call]


def _sizes(value: int | Sizes, dimensions: int) -> Sizes:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return sizes * dimensions if len(sizes) == 1 else sizes


class _Convolution(torch.autograd.Function):
    """y = w ∗ x + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: Settings) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings, ctx.has_bias = settings, bias is not None
        return _forward(x, weight, bias, settings)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        needed = tuple(ctx.needs_input_grad[:3])
        gradients = _Backward.apply(slope, x, weight, ctx.has_bias, ctx.settings, needed)  # type: ignore[no-untyped-call]
        return (*gradients, None)


class _Backward(torch.autograd.Function):
    """The gradients of ⟨s, w ∗ x + b⟩ by x, w and b, as a function of s, x and w."""

    @staticmethod
    def forward(
        ctx: Any, slope: Tensor, x: Tensor, weight: Tensor, has_bias: bool, settings: Settings, needed: tuple[bool, ...]
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(slope, x, weight)
        ctx.settings = settings
        return _gradients(slope, x, weight, settings, (needed[0], needed[1], has_bias and needed[2]))

    @staticmethod
    def backward(ctx: Any, by_x: Tensor | None, by_weight: Tensor | None, by_bias: Tensor | None) -> Any:
        slope, x, weight = ctx.saved_tensors
        of_slope = of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            parts = []
            if by_weight is not None:
                parts.append(_forward(x, by_weight, by_bias, ctx.settings))
            elif by_bias is not None:
                parts.append(by_bias.view(-1, *[1] * (slope.ndim - 2)).expand_as(slope))
            if by_x is not None:
                parts.append(_forward(by_x, weight, None, ctx.settings))
            of_slope = parts[0] if len(parts) == 1 else parts[0] + parts[1] if parts else None
        if _only_slopes[0]:
            return of_slope, None, None, None, None, None
        if ctx.needs_input_grad[1] and by_weight is not None:
            of_x = _gradients(slope, x, by_weight, ctx.settings, (True, False, False))[0]
        if ctx.needs_input_grad[2] and by_x is not None:
            of_weight = _gradients(slope, by_x, weight, ctx.settings, (False, True, False))[1]
        return of_slope, of_x, of_weight, None, None, None


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, settings: Settings) -> Tensor:
    stride, padding, dilation, groups = settings
    return torch.convolution(x, weight, bias, stride, padding, dilation, False, (0,) * len(stride), groups)


def _gradients(
    slope: Tensor, x: Tensor, weight: Tensor, settings: Settings, needed: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = settings
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        slope,
        x,
        weight,
        [weight.shape[0]],
        stride,
        padding,
        dilation,
        False,
        (0,) * len(stride),
        groups,
        needed,
    )
    return gradients
