"""Directions that the user brings: from Python, or from an `.npz` or `.safetensors` file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, norm, unflatten
from landscape.analysis.planes.along import Direction
from landscape.errors import LandscapeError


def user_direction(
    objective: Objective, vector: Mapping[str, Any] | Any, *, name: str = "user", source: str = ""
) -> Direction:
    """Return a direction of the user's, as long as it comes.

    Args:
        objective: whose parameters it is of.
        vector: tensors or arrays by parameter name, those left out being still; or one flat (n,) vector of all the
            parameters that move, in the model's order.
        name: for people.
        source: where it is from, for the recipe.

    Raises:
        LandscapeError: for names or shapes that are not the model's, NaN, inf, or zeros alone.
    """
    origin = objective.origin
    given = _named(vector, origin, name)
    strangers = [key for key in given if key not in origin]
    if strangers:
        raise LandscapeError(
            f"the direction {name!r} has {strangers[0]!r}, which is none of params={objective.params!r}; leave it out"
        )
    complete = {}
    for key, w in origin.items():
        part = given.get(key)
        if part is not None and part.shape != w.shape:
            raise LandscapeError(
                f"the direction {name!r} has {key} of shape {tuple(part.shape)}; expected {tuple(w.shape)}"
            )
        complete[key] = torch.zeros_like(w) if part is None else part.detach().to(w)
        if not complete[key].isfinite().all():
            raise LandscapeError(f"the direction {name!r} has NaN or inf in {key}; expected finite numbers")
    if norm(complete) == 0:
        raise LandscapeError(f"the direction {name!r} is zero in every parameter that moves; expected another")
    return Direction(name, complete, {"kind": "user", "name": name, "source": source, "unit": "the vector as given"})


def read_directions(path: str | Path, parameters: Collection[str]) -> dict[str, dict[str, Tensor] | Tensor]:
    """Return the directions in an `.npz` or `.safetensors` file by name, as `user_direction` takes them.

    Entries called `<direction>/<parameter>` make a direction each; entries called like parameters make one together,
    named like the file; any other entry is a flat vector of its own.

    Args:
        path: the file.
        parameters: names of the model's parameters.

    Raises:
        LandscapeError: for a file that is missing, damaged, or of another kind.
    """
    path = Path(path)
    found: dict[str, dict[str, Tensor] | Tensor] = {}
    for key, tensor in _read(path).items():
        group, slash, parameter = key.partition("/")
        if not slash and key not in parameters:
            found[key] = tensor
            continue
        into = found.setdefault(group if slash else path.stem, {})
        if isinstance(into, Tensor):
            raise LandscapeError(f"{path} has a vector {group!r} as well as {key!r}; expected one or the other")
        into[parameter if slash else key] = tensor
    if not found:
        raise LandscapeError(f"{path} holds no arrays; expected a direction")
    return found


def _named(vector: Mapping[str, Any] | Any, origin: Weights, name: str) -> dict[str, Tensor]:
    if isinstance(vector, Mapping):
        return {str(key): torch.as_tensor(part) for key, part in vector.items()}
    flat, size = torch.as_tensor(vector), sum(w.numel() for w in origin.values())
    if flat.shape != (size,):
        raise LandscapeError(
            f"the direction {name!r} has shape {tuple(flat.shape)}; expected ({size},) or named tensors"
        )
    return unflatten(flat, origin)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise LandscapeError(f"no such file: {path}; expected directions (.npz or .safetensors)")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
    except Exception as error:  # damage can surface as almost anything
        raise LandscapeError(f"{path} is truncated, damaged, or holds objects; expected arrays of numbers") from error
    raise LandscapeError(f"{path} is of another kind; expected directions in an .npz or .safetensors file")
