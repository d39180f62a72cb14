"""Nested structures of tensors: the inputs, targets and outputs of any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from landscape.errors import LandscapeError

Nested: TypeAlias = Any  # a tensor, or a tuple, list or dictionary of Nested
Weights: TypeAlias = dict[str, Tensor]  # parameter name → tensor
Batch: TypeAlias = tuple[Nested, Nested, int]  # inputs, targets, number of examples
Preprocess: TypeAlias = Callable[[Nested], Nested]


def map_tensors(function: Callable[[Tensor], Tensor], nested: Nested) -> Nested:
    """Apply a function to every tensor of a structure; other leaves stay, lists become tuples.

    >>> map_tensors(lambda t: 2 * t, {"x": torch.ones(2), "length": 2})
    {'x': tensor([2., 2.]), 'length': 2}
    """
    if isinstance(nested, Tensor):
        return function(nested)
    if isinstance(nested, Mapping):
        return {key: map_tensors(function, value) for key, value in nested.items()}
    if isinstance(nested, tuple | list):
        return tuple(map_tensors(function, value) for value in nested)
    return nested


def tensors(nested: Nested) -> list[Tensor]:
    """Return the tensors of a nested structure, in order.

    >>> tensors((torch.zeros(1), {"mask": torch.ones(1)}))
    [tensor([0.]), tensor([1.])]
    """
    leaves: list[Tensor] = []

    def collect(tensor: Tensor) -> Tensor:
        leaves.append(tensor)
        return tensor

    map_tensors(collect, nested)
    return leaves


def count_examples(targets: Nested) -> int:
    """Return the number of examples of a batch: the first dimension of its first target.

    >>> count_examples({"boxes": torch.zeros(5, 4), "labels": torch.zeros(5)})
    5

    Raises:
        LandscapeError: if there is no target, or if the first one is a scalar.
    """
    leaves = tensors(targets)
    if not leaves or leaves[0].ndim == 0:
        raise LandscapeError("expected targets with one entry per example along their first dimension")
    return len(leaves[0])


def working_copy(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a floating-point tensor in the working precision, images and filters in channels_last; others as is.

    Complex tensors have parts of that precision, but for bfloat16, which has no complex type.
    """
    if tensor.is_complex():
        return tensor.to(dtype.to_complex()) if dtype != torch.bfloat16 else tensor
    if not tensor.is_floating_point():
        return tensor
    if tensor.ndim == 4:
        return tensor.to(dtype, memory_format=torch.channels_last)
    return tensor.to(dtype)
