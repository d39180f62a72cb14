"""Weight files of any origin, read without running code."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.models.state_dict import check_finite, find_state, strip_prefixes
from landscape.storage.user_path import refuse_special


def load_weights(
    path: str | Path, *, names: Collection[str] | None = None, key: str | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights in a `.pt`, `.pth` or `.safetensors` file and what was done to get at them, one sentence each.

    A state dict may lie under a key such as "state_dict" or "model"; prefixes that all its names share ("module.",
    "_orig_mod.", "model.") are stripped. A landscape checkpoint gives its weights too. No code in the file ever runs.

    Args:
        path: The file.
        names: The model's own names, where known: then any shared prefix is stripped ("net."), as far as they ask for.
        key: Under which of its keys the file's weights are; by default a usual one, and the others are named.

    Raises:
        LandscapeError: Missing, a folder, empty, truncated, pickled objects, no weights in it (or under `key`), or NaN
            or inf weights.
    """
    path = Path(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    state, taken = find_state(content, path, key=key)
    state, stripped = strip_prefixes(state, names)
    check_finite(state, path)
    return state, taken + stripped


def read_torch_file(path: Path, *, expected: str = "a weight file") -> Any:
    """Return what `torch.save` wrote, on the CPU, loaded with `weights_only=True` so that no pickled code runs.

    NumPy numbers and arrays of numbers, which training loops often store beside the weights, are loaded too.

    Raises:
        LandscapeError: Missing, a folder, empty, truncated or damaged, another format, or pickled objects.
    """
    head = _head(path, expected)
    try:
        if head.startswith(b"PK"):
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript and old formats: the error says it
            with torch.serialization.safe_globals(_numpy_globals()):
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if head[:1] != b"\x80" and not head.startswith(b"PK"):
            raise LandscapeError(f"{path} is not {expected}: it is no file of torch.save{_hint(head)}") from error
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        such = f", such as {named[1]}" if named else ""
        raise LandscapeError(
            f"{path} is not {expected}: it holds pickled objects, which are never run{such}; save model.state_dict() "
            "instead"
        ) from error
    except Exception as error:  # damage can surface as almost anything
        if head.startswith(b"PK") or head[:1] == b"\x80":
            raise LandscapeError(f"{path} is truncated or damaged; copy or make it again") from error
        raise LandscapeError(f"{path} is not {expected}: it is no file of torch.save{_hint(head)}") from error


def _numpy_globals() -> list[Any]:
    """Return what pickled NumPy numbers and arrays of numbers refer to, under the names of NumPy 1 and 2.

    Only plain number types: pickles of strings, structures and objects can set sizes that NumPy does not check.
    """
    kinds = [type(np.dtype(kind)) for kind in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"]
    makers: list[Any] = [np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]]
    modules = ("numpy._core.multiarray", "numpy.core.multiarray")
    named = [(maker, f"{module}.{maker.__name__}") for maker in makers for module in modules]
    return [np.dtype, np.ndarray, *dict.fromkeys(kinds), *named]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _head(path, "a weight file")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise LandscapeError(f"{path} is truncated or no safetensors file; copy or make it again") from error


def _head(path: Path, expected: str) -> bytes:
    """Return the first bytes of a file that exists, is no folder, can be read and is not empty."""
    refuse_special(path)
    if path.is_dir():
        raise LandscapeError(f"{path} is a folder; expected {expected}")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise LandscapeError(f"no such file: {path}; expected {expected}") from error
    except OSError as error:
        raise LandscapeError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise LandscapeError(f"{path} is empty; expected {expected}")
    return head


def _check_archive(path: Path) -> None:
    """Raise BadZipFile where a checksum in the archive does not hold: torch itself does not look at them."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"checksum of {damaged}")


def _hint(head: bytes) -> str:
    return ", but an HDF5 file of results (for landscape report)" if head.startswith(b"\x89HDF") else ""
