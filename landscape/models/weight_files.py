"""Weight files of any origin, read without running code in them."""

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
from landscape.storage.user_path import file_head


def load_weights(
    path: str | Path, *, names: Collection[str] | None = None, key: str | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights in a `.pt`, `.pth` or `.safetensors` file, and a sentence for each step of their extraction.

    A state dict may be under a key such as "state_dict" or "model"; prefixes shared by all its names ("module.",
    "_orig_mod.", "model.") are stripped. Landscape checkpoints are read too. No code in the file is run.

    Args:
        path: The file.
        names: Names in the model, if known; then any shared prefix ("net.") is stripped as far as needed for a match.
        key: Key of the weights in the file; by default a usual one, and a sentence names the others.

    Raises:
        LandscapeError: if the file is missing, a folder, empty, truncated, holds pickled objects or no weights (under
            `key`), or weights with NaN or inf.
    """
    path = Path(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    state, notes = find_state(content, path, key=key)
    state, stripped = strip_prefixes(state, names)
    check_finite(state, path)
    return state, notes + stripped


def read_torch_file(path: Path, *, expected: str = "a weight file") -> Any:
    """Return the content of a file of `torch.save`, on the CPU, with `weights_only=True` so that no pickled code runs.

    NumPy numbers and arrays of numbers, which training loops often store beside the weights, are loaded too.

    Raises:
        LandscapeError: if the file is missing, a folder, empty, truncated, damaged, of another format, or holds
            pickled objects.
    """
    head = file_head(path, expected)
    try:
        if head.startswith(b"PK"):
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript and old formats, which the error reports
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
    except Exception as error:  # a damaged file can raise almost any exception
        if head.startswith(b"PK") or head[:1] == b"\x80":
            raise LandscapeError(f"{path} is truncated or damaged; copy or make it again") from error
        raise LandscapeError(f"{path} is not {expected}: it is no file of torch.save{_hint(head)}") from error


def _numpy_globals() -> list[Any]:
    """Return the globals of pickled NumPy numbers and numeric arrays, under the names of NumPy 1 and 2.

    Only plain number types: pickles of strings, structures and objects can set sizes that NumPy does not check.
    """
    kinds = [type(np.dtype(kind)) for kind in np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?"]
    constructors: list[Any] = [np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]]
    modules = ("numpy._core.multiarray", "numpy.core.multiarray")
    named = [(constructor, f"{module}.{constructor.__name__}") for constructor in constructors for module in modules]
    return [np.dtype, np.ndarray, *dict.fromkeys(kinds), *named]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file_head(path, "a weight file")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise LandscapeError(f"{path} is truncated or no safetensors file; copy or make it again") from error


def _check_archive(path: Path) -> None:
    """Raise BadZipFile if a checksum in the archive is wrong; torch does not verify them."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"checksum of {damaged}")


def _hint(head: bytes) -> str:
    return ", but an HDF5 file of results (for landscape report)" if head.startswith(b"\x89HDF") else ""
