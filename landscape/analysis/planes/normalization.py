"""Random draws in weight space, equal on every machine, and their normalization to the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analysis.objective.weights import Weights
from landscape.errors import LandscapeError
from landscape.seeding import seeded_generator

Normalization: TypeAlias = Literal["filter", "layer", "weight", "none"]
OneDimensional: TypeAlias = Literal["zero", "scaled", "li-code"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_TINY = 1e-10  # Li et al.'s guard against filters that are zero


def raw_direction(shapes: Mapping[str, torch.Size], seed: int, number: int) -> Weights:
    """Return N(0, 1) draws in float32, the same on every machine.

    The Philox generator of each parameter is keyed by (seed, direction number, parameter name), so that a draw does not
    depend on the rest of the model.
    """
    draws = {}
    for name, shape in shapes.items():
        values = seeded_generator(seed, number, name).standard_normal(tuple(shape), dtype=np.float32)
        draws[name] = torch.from_numpy(values.reshape(tuple(shape)))
    return draws


def normalized(
    direction: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    normalization: Normalization = "filter",
    one_dimensional: OneDimensional = "zero",
    transposed: Mapping[str, int] | None = None,
) -> Weights:
    """Return the direction scaled to the weights (Li et al. 2018, arXiv:1712.09913, section 4).

    >>> import torch
    >>> weights, direction = {"w": torch.tensor([[3.0, 4.0]])}, {"w": torch.tensor([[0.0, 2.0]])}
    >>> normalized(direction, weights)["w"].tolist()
    [[0.0, 5.0]]

    Args:
        direction: one tensor per parameter, on the CPU. Norms are accumulated in float64, so that they and the
            direction's hash do not depend on instruction sets and threads.
        weights: tensors of the same names and shapes.
        normalization: "filter": each filter gets the norm of the weights' filter; "layer": each tensor; "weight":
            elementwise d · |w|; "none".
        one_dimensional: biases and norm parameters: "zero", "scaled" (as one filter), or "li-code" (d := w).
        transposed: groups of the weights whose output units lie along dimension 1 (transposed convolutions), by name.

    Raises:
        LandscapeError: for an unknown option.
    """
    expect_one_of("normalization", normalization, ("filter", "layer", "weight", "none"))
    expect_one_of("one_dimensional", one_dimensional, ("zero", "scaled", "li-code"))
    result = {}
    for name, d in direction.items():
        w = weights[name].to(d)
        if w.ndim <= 1 and one_dimensional != "scaled":
            result[name] = torch.zeros_like(d) if one_dimensional == "zero" else w.clone()
        elif normalization == "weight":
            result[name] = d * w.abs()
        elif normalization == "none":
            result[name] = d.clone()
        elif normalization == "layer" or w.ndim <= 1:
            result[name] = _rescaled(d, w.double().norm(), d.double().norm())
        else:
            groups = (transposed or {}).get(name)
            result[name] = _rescaled(d, _filter_norms(w.double(), groups), _filter_norms(d.double(), groups))
    return result


def zero_entries(direction: Mapping[str, Tensor], *, one_dimensional: OneDimensional = "zero") -> dict[str, Any]:
    """Return the share of zeros in a normalized direction, which come from zero weights; empty if there are none.

    Biases and norm parameters do not count if they are zero by choice (`one_dimensional="zero"`).

    Returns:
        "zero_share": zeros as a share of the entries; "zero_parameters": names of the parameters that are all zero.
    """
    moving = {name: d for name, d in direction.items() if d.ndim > 1 or one_dimensional != "zero"}
    zeros = sum(d.numel() - int(d.count_nonzero()) for d in moving.values())
    if not zeros:
        return {}
    still = [name for name, d in moving.items() if d.numel() and not d.any()]
    return {"zero_share": zeros / sum(d.numel() for d in moving.values()), "zero_parameters": still}


def transposed_weights(model: nn.Module) -> dict[str, int]:
    """Return the groups of each weight whose output units lie along dimension 1, by parameter name.

    These are transposed convolutions, and GPT-2's linear layers in transformers (class `Conv1D`, weight (in, out)).
    """
    groups = {}
    for name, module in model.named_modules():
        if isinstance(module, _TRANSPOSED):
            groups[f"{name}.weight".lstrip(".")] = module.groups
        elif type(module).__name__ == "Conv1D" and getattr(getattr(module, "weight", None), "ndim", 0) == 2:
            groups[f"{name}.weight".lstrip(".")] = 1
    return groups


def expect_one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Check an option's value.

    Raises:
        LandscapeError: if it is none of the choices.
    """
    if value not in choices:
        raise LandscapeError(f"unknown {option} {value!r}; expected one of {', '.join(choices)}")


def _filter_norms(w: Tensor, groups: int | None) -> Tensor:
    """Return the norm of the filter each entry belongs to, broadcastable to the shape of `w`."""
    if groups is None:
        rows: Tensor = torch.linalg.vector_norm(w, dim=tuple(range(1, w.ndim)), keepdim=True)
        return rows
    grouped = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    norms: Tensor = torch.linalg.vector_norm(grouped, dim=(1, *range(3, grouped.ndim)), keepdim=True)
    return norms.expand_as(grouped).reshape(w.shape)


def _rescaled(d: Tensor, target: Tensor, length: Tensor) -> Tensor:
    return (d.double() * (target / (length + _TINY))).to(d.dtype)
