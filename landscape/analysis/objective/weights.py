"""Weights as dictionaries of tensors, and as one flat vector."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from landscape.analysis.objective.data.nested import Weights

__all__ = ["Weights", "digest", "displaced", "dot", "flatten", "norm", "unflatten"]


def flatten(weights: Mapping[str, Tensor]) -> Tensor:
    """Return the (n,) vector of all entries, in the order of the dictionary."""
    return torch.cat([w.reshape(-1) for w in weights.values()])


def unflatten(vector: Tensor, like: Mapping[str, Tensor]) -> Weights:
    """Return the (n,) vector cut into tensors of the names and shapes of `like`."""
    parts = torch.split(vector, [w.numel() for w in like.values()])
    return {name: part.view(w.shape) for (name, w), part in zip(like.items(), parts, strict=True)}


def displaced(origin: Mapping[str, Tensor], terms: Iterable[tuple[float, Mapping[str, Tensor]]]) -> Weights:
    """Return origin + Σ coefficient · direction; tensors that a direction lacks stay as they are.

    On a GPU this takes a few launches, not two for each tensor.
    """
    result = dict(origin)
    for coefficient, direction in terms:
        if direction:
            steps = torch._foreach_mul(list(direction.values()), float(coefficient))
            result.update(zip(direction, torch._foreach_add([result[name] for name in direction], steps), strict=True))
    return result


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Return the inner product over the names of `a`, accumulated in float64; waits for the device once."""
    products = [a[name].double().flatten() @ b[name].double().flatten() for name in a]
    return sum(torch.stack(products).tolist()) if products else 0.0


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
