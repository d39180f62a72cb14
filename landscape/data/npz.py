"""Data sets in NumPy `.npz` files: images, or inputs of any other kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.data.dataset import Dataset, Split
from landscape.errors import LandscapeError
from landscape.storage.user_path import file_head

Arrays = Mapping[str, NDArray[Any]]


def load_npz(path: str | Path) -> Dataset:
    """Return the data set in a `.npz` file, with the normalization that the file states, if any.

    The file holds `train_images` (N, H, W, C) uint8, or `train_inputs` (N, …) of a float or integer dtype, used
    unchanged, and `train_labels` (N,) integers; optionally the same with `test_`, and `classes` (names), `mean` and
    `std` (per channel, of images scaled to 0…1).

    Raises:
        LandscapeError: for a missing, empty or damaged file, pickled arrays, missing arrays or ones that do not fit.
    """
    path = Path(path)
    return dataset_from_arrays("npz", read_arrays(path), str(path))


def dataset_from_arrays(kind: str, arrays: Arrays, source: str) -> Dataset:
    """Return the data set of arrays with names and shapes as in `load_npz`; `source` is named in errors."""
    splits = {
        name: _split(arrays, name, source)
        for name in ("train", "test")
        if name == "train" or any(key.startswith(f"{name}_") for key in arrays)
    }
    try:
        return Dataset(
            kind,
            splits,
            _classes(arrays, splits, source),
            mean=_channels(arrays, "mean", source),
            std=_channels(arrays, "std", source),
        )
    except LandscapeError as error:
        message = str(error)
        raise error if source in message else LandscapeError(f"{source}: {message}") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a `.npz` file by name, after verifying its checksums.

    Raises:
        LandscapeError: if the file is missing, a folder, empty, no `.npz`, truncated or damaged, or holds pickles.
    """
    if not file_head(path, "a .npz file").startswith(b"PK"):
        raise LandscapeError(f"{path} is no .npz file; write one with numpy.savez(file, train_images=…, …)")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: _native(archive[name], name, path) for name in archive.files}
    except LandscapeError:
        raise
    except Exception as error:  # damage can surface as almost anything
        if "pickle" in str(error):
            raise LandscapeError(f"{path} holds pickled objects, which are never run; save plain arrays") from error
        raise LandscapeError(f"{path} cannot be read as .npz: truncated or damaged; make it again") from error


def _native(array: Any, name: str, path: Path) -> NDArray[Any]:
    if not isinstance(array, np.ndarray):  # a member of the archive that is no .npy: NumPy returns its bytes
        raise LandscapeError(f"{path} holds {name}, which is no array; write it with numpy.savez")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _split(arrays: Arrays, name: str, source: str) -> Split:
    present = [key for key in (f"{name}_images", f"{name}_inputs") if key in arrays]
    if len(present) != 1:
        came = "both" if present else ", ".join(arrays) or "nothing"
        raise LandscapeError(f"{source}: expected one of {name}_images and {name}_inputs, found {came}")
    (key,) = present
    inputs = _images(arrays[key], key, source) if key.endswith("images") else _inputs(arrays[key], key, source)
    return Split(inputs, _labels(arrays, name, len(inputs), source))


def _images(array: NDArray[Any], key: str, source: str) -> Tensor:
    if array.dtype != np.uint8 or array.ndim != 4 or 0 in array.shape:
        hint = "; add a channel axis with [..., None]" if array.dtype == np.uint8 and array.ndim == 3 else ""
        raise LandscapeError(f"{source}: {key} must be (N, H, W, C) uint8, got {array.shape} {array.dtype}{hint}")
    if array.shape[1] in (1, 3) and array.shape[3] > 4:
        raise LandscapeError(f"{source}: {key} {array.shape} has its channels first; transpose to (N, H, W, C)")
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def _inputs(array: NDArray[Any], key: str, source: str) -> Tensor:
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8 or array.ndim == 0:
        raise LandscapeError(f"{source}: {key} must be (N, …) floats or integers, got {array.shape} {array.dtype}")
    if array.dtype == np.uint8 and array.ndim == 4:
        raise LandscapeError(f"{source}: {key} are uint8 images; name them {key.replace('inputs', 'images')}, as NHWC")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise LandscapeError(f"{source}: NaN or inf in {key}")
    return torch.from_numpy(array)


def _labels(arrays: Arrays, name: str, examples: int, source: str) -> Tensor:
    key = f"{name}_labels"
    if key not in arrays:
        raise LandscapeError(f"{source}: {key} is missing, found {', '.join(arrays)}")
    labels = arrays[key]
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise LandscapeError(f"{source}: {key} must be (N,) integers, got {labels.shape} {labels.dtype}")
    if len(labels) != examples:
        raise LandscapeError(f"{source}: {len(labels)} {key} for {examples} examples")
    return torch.from_numpy(labels.astype(np.int64))


def _classes(arrays: Arrays, splits: Mapping[str, Split], source: str) -> tuple[str, ...]:
    if "classes" not in arrays:
        return tuple(str(label) for label in range(max(int(split.labels.max()) for split in splits.values()) + 1))
    classes = arrays["classes"]
    if classes.ndim != 1 or classes.dtype.kind not in "US":
        raise LandscapeError(f"{source}: classes must be (K,) names, got {classes.shape} {classes.dtype}")
    try:
        return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in classes.tolist())
    except UnicodeDecodeError as error:
        raise LandscapeError(f"{source}: expected classes in UTF-8, got {error.object!r}; save them as text") from error


def _channels(arrays: Arrays, key: str, source: str) -> tuple[float, ...] | None:
    if key not in arrays:
        return None
    if arrays[key].dtype.kind not in "fiu" or arrays[key].ndim > 1:
        raise LandscapeError(f"{source}: {key} must be (C,) numbers, got {arrays[key].shape} {arrays[key].dtype}")
    return tuple(float(value) for value in np.atleast_1d(arrays[key]))
