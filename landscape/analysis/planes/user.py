"""User-supplied directions: tensors, arrays, or vectors in an `.npz` or `.safetensors` file."""

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
    """Return a user-supplied direction, whose length stays.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.user_direction(objective, {"weight": [[3.0, 4.0]]}).vector["weight"].tolist()  # the bias stays
    [[3.0, 4.0]]

    Args:
        objective: model that the direction belongs to.
        vector: tensors or arrays by parameter name (zero for the others), or one flat (n,) vector of all moving
            parameters in the model's order.
        name: shown to people.
        source: file or the like that it comes from, recorded in the provenance.

    Raises:
        LandscapeError: for names or shapes that the model lacks, NaN, inf, or zeros alone.
    """
    origin = objective.origin
    given = _named(vector, origin, name)
    unknown = [key for key in given if key not in origin]
    if unknown:
        raise LandscapeError(
            f"the direction {name!r} has {unknown[0]!r}, which is none of params={objective.params!r}; leave it out"
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
    """Return the directions in an `.npz` or `.safetensors` file by name, for `user_direction`.

    Entries `<direction>/<parameter>` form one direction per prefix, entries named like parameters one direction named
    like the file; any other entry is a flat vector.

    Args:
        path: the file.
        parameters: names of the model's parameters.

    Raises:
        LandscapeError: for a file that is missing, damaged, or of another format.
    """
    path = Path(path)
    directions: dict[str, dict[str, Tensor] | Tensor] = {}
    for key, tensor in _read(path).items():
        group, slash, parameter = key.partition("/")
        if not slash and key not in parameters:
            directions[key] = tensor
            continue
        parts = directions.setdefault(group if slash else path.stem, {})
        if isinstance(parts, Tensor):
            raise LandscapeError(f"{path} has a vector {group!r} as well as {key!r}; expected one or the other")
        parts[parameter if slash else key] = tensor
    if not directions:
        raise LandscapeError(f"{path} holds no arrays; expected a direction")
    return directions


def _named(vector: Mapping[str, Any] | Any, origin: Weights, name: str) -> dict[str, Tensor]:
    """Return a user's vector as tensors by parameter name."""
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
