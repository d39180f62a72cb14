"""Weights as dictionaries of tensors, and as one flat vector."""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from landscape.errors import LandscapeError

Weights: TypeAlias = dict[str, Tensor]  # parameter name → tensor


def moving_parameters(model: nn.Module, pattern: str = "*") -> Weights:
    """Return the trainable parameters whose names match a comma-separated list of globs.

    Tied parameters appear once, under their first name. Frozen parameters (`requires_grad=False`) never move, and those
    of size 0 have nothing to move.

    Raises:
        LandscapeError: if nothing matches, all are frozen, or one that matches is complex.
    """
    globs = [glob.strip() for glob in pattern.split(",")]
    trainable = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad and p.numel()}
    if not trainable:
        if not any(True for _ in model.parameters()):
            raise LandscapeError("no trainable parameter: the model has none at all; expected at least one to move")
        raise LandscapeError(
            "no trainable parameter: the model's are all frozen (requires_grad is False); unfreeze those that are to "
            "move, or all with model.requires_grad_(True)"
        )
    chosen = {n: p for n, p in trainable.items() if any(fnmatch.fnmatchcase(n, glob) for glob in globs)}
    if not chosen:
        some = ", ".join(list(trainable)[:3])
        raise LandscapeError(f"no trainable parameter matches {pattern!r}; the model's are named like: {some}")
    for name, parameter in chosen.items():
        if not parameter.is_floating_point():
            raise LandscapeError(
                f"the parameter {name!r} is of type {str(parameter.dtype).removeprefix('torch.')}; expected real "
                "numbers: store the real and imaginary parts as one real parameter (torch.view_as_complex in the "
                "forward pass), freeze it, or leave it out with params"
            )
    return chosen


def flatten(weights: Mapping[str, Tensor]) -> Tensor:
    """Return the (n,) vector of all entries, in the order of the dictionary."""
    return torch.cat([w.reshape(-1) for w in weights.values()])


def unflatten(vector: Tensor, like: Mapping[str, Tensor]) -> Weights:
    """Return the (n,) vector cut into tensors of the names and shapes of `like`."""
    parts = torch.split(vector, [w.numel() for w in like.values()])
    return {name: part.view(w.shape) for (name, w), part in zip(like.items(), parts, strict=True)}


def moved(origin: Mapping[str, Tensor], terms: Iterable[tuple[float, Mapping[str, Tensor]]]) -> Weights:
    """Return origin + Σ coefficient · direction; directions may lack names, which then stay."""
    result = dict(origin)
    for coefficient, direction in terms:
        for name, step in direction.items():
            result[name] = result[name] + coefficient * step
    return result


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Return the inner product over the names of `a`, accumulated in float64."""
    return sum(float(a[name].double().flatten() @ b[name].double().flatten()) for name in a)


def norm(a: Mapping[str, Tensor]) -> float:
    """Return the Euclidean norm, accumulated in float64."""
    return math.sqrt(dot(a, a))


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, shapes and float32 values, in hexadecimal."""
    sha = hashlib.sha256()
    for name, tensor in weights.items():
        sha.update(f"{name}{tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return sha.hexdigest()
