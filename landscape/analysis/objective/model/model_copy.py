"""Copies of a model that can be differentiated twice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

from landscape.errors import LandscapeError


def copy_for_derivatives(model: nn.Module, dtype: torch.dtype, device: torch.device | str) -> nn.Module:
    """Return a deep copy of a model in evaluation mode, in one precision, on one device, twice differentiable.

    Weight normalization is computed from its definition, since the second derivative of torch's fused kernel is wrong
    (torch 2.13), and embeddings have dense gradients, since sparse ones have no second derivative.

    Raises:
        LandscapeError: for a wrapper that hides the model's tensors (`DataParallel`, `torch.jit`).
    """
    _refuse_wrappers(model)
    module = deep_copy(model).to(device).eval()
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
        elif tensor.is_complex():
            tensor.data = tensor.data.to(dtype.to_complex())
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False
        elif isinstance(part, parametrizations._WeightNorm):
            part.forward = partial(_parametrized_weight, part.dim)  # type: ignore[method-assign]
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                hook.compute_weight = partial(_hooked_weight, hook.name, hook.dim)  # type: ignore[method-assign]
    return module


def deep_copy(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model, tensors that it computed and kept as attributes detached.

    `copy.deepcopy` refuses those, and the hooks of `torch.nn.utils.weight_norm` and `spectral_norm` leave one.
    """
    with _DetachedCopies():
        return copy.deepcopy(model)


def weight_norm(direction: Tensor, magnitude: Tensor, dim: int) -> Tensor:
    """Return g v / ‖v‖ (Salimans & Kingma 2016, arXiv:1602.07868, eq. 2), norms over all dimensions but `dim`.

    Args:
        direction: v, of any shape.
        magnitude: g, of the norms' shape: 1 in all dimensions but `dim`, or a scalar.
        dim: the dimension of the norms; −1 for one norm of the whole tensor.
    """
    others = [d for d in range(direction.ndim) if dim == -1 or d != dim]
    squares = direction.square()
    norms = (squares.sum(others, keepdim=dim != -1) if others else squares).sqrt()
    return direction * (magnitude / norms)


def _parametrized_weight(dim: int, magnitude: Tensor, direction: Tensor) -> Tensor:
    return weight_norm(direction, magnitude, dim)


def _hooked_weight(name: str, dim: int, module: nn.Module) -> Tensor:
    return weight_norm(getattr(module, f"{name}_v"), getattr(module, f"{name}_g"), dim)


class _DetachedCopies(TorchFunctionMode):
    """Within this context `copy.deepcopy` copies the values of tensors that are not leaves of a graph."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            memo[id(tensor)] = tensor.detach().clone()
            return memo[id(tensor)]
        return func(*args, **(kwargs or {}))


def _refuse_wrappers(model: nn.Module) -> None:
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        raise LandscapeError(f"got a model wrapped in {type(model).__name__}; expected the model: give model.module")
    for name, part in model.named_modules():
        where = f"its module {name!r}" if name else "the model"
        if isinstance(part, torch.jit.ScriptModule):
            raise LandscapeError(
                f"{where} is compiled by torch.jit, which hides its weights; give the Python model it was compiled from"
            )
        if isinstance(part, nn.DataParallel):
            raise LandscapeError(f"{where} is wrapped in DataParallel; put its .module in its place")
