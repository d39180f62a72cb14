"""The forms that data come in, as pairs of inputs and targets: tensors, arrays, dictionaries with labels inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import Nested, Preprocess, tensors
from landscape.errors import LandscapeError

LABELS = "labels"  # of dictionaries, as Hugging Face's collators name them


def make_splits(
    data: Any,
    targets: Nested | None,
    device: torch.device,
    *,
    dtype: torch.dtype,
    preprocess: Preprocess | None = None,
    joint: bool = False,
) -> dict[str, Batches]:
    """Return the examples by split, all of them "train" unless `data` is a mapping of splits (see `make_batches`).

    Raises:
        LandscapeError: for a mapping without splits, or data of an unknown form.
    """
    if targets is None and isinstance(data, Mapping) and not holds_labels(data):
        named = dict(data)
    else:
        named = {"train": data if targets is None else (data, targets)}
    if not named:
        raise LandscapeError("the data holds no splits; expected at least one, for example {'train': (x, y)}")
    return {
        split: make_batches(examples, device, dtype=dtype, preprocess=preprocess, joint=joint)
        for split, examples in named.items()
    }


def make_batches(
    data: Any, device: torch.device, *, dtype: torch.dtype, preprocess: Preprocess | None = None, joint: bool = False
) -> Batches:
    """Return the examples of one split.

    Args:
        data: (inputs, targets); a dictionary of inputs with "labels" inside; or a re-iterable of batches of these.
        device: where they are needed.
        dtype: of float64 arrays.
        preprocess: applied to each batch of inputs.
        joint: whether each batch is the inputs as a whole, for a loss of model and batch; then of any nested structure.
    """
    if isinstance(data, np.ndarray | Tensor | Mapping) or (isinstance(data, tuple) and (not joint or _flat(data))):
        whole = _pair(data, dtype, joint)
        if isinstance(whole, tuple) and len(whole) == 2:
            if joint and len({len(t) if t.ndim else -1 for t in tensors(whole[0])}) > 1:  # cannot be cut
                return Batches([whole], None, device=device, preprocess=preprocess)
            return Batches(*whole, device=device, preprocess=preprocess)
    elif isinstance(data, Iterable) and not isinstance(data, Iterator | Pairs):
        data = Pairs(data, dtype, joint)
    return Batches(data, None, device=device, preprocess=preprocess)


def holds_labels(data: Any) -> bool:
    """Return True for one data set as a dictionary of inputs with labels, False for a mapping of splits."""
    return isinstance(data, Mapping) and isinstance(data.get(LABELS), Tensor | np.ndarray)


class Pairs:
    """A re-iterable of batches as (inputs, targets), without those that hold no example."""

    def __init__(self, stream: Iterable[Any], dtype: torch.dtype, joint: bool) -> None:
        self._stream, self._dtype, self._joint = stream, dtype, joint

    def __iter__(self) -> Iterator[Any]:
        """Yield the pairs."""
        for batch in self._stream:
            pair = _pair(batch, self._dtype, self._joint)
            if not (isinstance(pair, tuple | list) and len(pair) == 2 and _is_empty(pair[1])):
                yield pair


def _pair(batch: Any, dtype: torch.dtype, joint: bool) -> Any:
    """Return a batch as (inputs, targets) if its form is known, else as it is."""
    batch = _as_tensors(batch, dtype)
    if joint:
        counted = next((t for t in tensors(batch) if t.ndim), torch.zeros(1))
        return batch, counted
    if holds_labels(batch):
        return {key: value for key, value in batch.items() if key != LABELS}, batch[LABELS]
    return batch


def _flat(data: tuple[Any, ...]) -> bool:
    return all(isinstance(part, np.ndarray | Tensor) for part in data)


def _is_empty(targets: Nested) -> bool:
    parts = tensors(targets)
    return bool(parts) and parts[0].ndim > 0 and len(parts[0]) == 0


def _as_tensors(nested: Nested, dtype: torch.dtype) -> Nested:
    """Return the same structure with NumPy arrays as tensors, float64 ones in `dtype`, integers as int64 or uint8."""
    if isinstance(nested, np.ndarray):
        return _as_tensor(nested, dtype)
    if isinstance(nested, Mapping):
        return {key: _as_tensors(value, dtype) for key, value in nested.items()}
    if type(nested) in (tuple, list):
        return type(nested)(_as_tensors(value, dtype) for value in nested)
    return nested


def _as_tensor(array: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    if array.dtype.kind not in "biufc":
        raise LandscapeError(f"got an array of dtype {array.dtype}; expected numbers")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind in "iu" and native.dtype != np.uint8:
        native = native.astype(np.int64, copy=False)
    tensor = torch.from_numpy(np.require(native, requirements=["C", "W"]))
    return tensor.to(dtype) if tensor.dtype == torch.float64 else tensor
