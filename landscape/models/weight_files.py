"""Weight files of any origin, read without running code, and putting weights into a model, strictly."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.errors import LandscapeError

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")  # keys under which people keep the weights
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning


def load_weights(path: str | Path, *, names: Collection[str] | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights in a `.pt`, `.pth` or `.safetensors` file and what was done to get at them, one sentence each.

    A state dict may lie under a key such as "state_dict" or "model"; prefixes that all its names share ("module.",
    "_orig_mod.", "model.") are stripped. A landscape checkpoint gives its weights too. No code in the file ever runs.

    Args:
        path: The file.
        names: The model's own names, where known: prefixes are then stripped only as far as those names ask for it.

    Raises:
        LandscapeError: Missing, a folder, empty, truncated, pickled objects, no weights in it, or NaN or inf weights.
    """
    path = Path(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    done: list[str] = []
    while isinstance(content, Mapping) and not _is_state(content):
        key = next((key for key in ("state", *WRAPPERS) if isinstance(content.get(key), Mapping)), None)
        if key is None:
            break
        content = content[key]
        done.append(f"took the weights under {key!r}")
    if not isinstance(content, Mapping) or not _is_state(content):
        held = f"the keys {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else _type(content)
        raise LandscapeError(f"{path} holds no weights: expected a state dict of named tensors, found {held or 'none'}")
    state = dict(content)
    while names is None or not set(names) & set(state):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
        done.append(f"removed the prefix {prefix!r} from every name")
    check_finite(state, path)
    return state, done


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy weights into `model` in place, all of them or none.

    BatchNorm's `num_batches_tracked`, a counter that files from before 2018 lack, may be missing.

    Raises:
        LandscapeError: Entries missing, unexpected or of another shape; one line that names the first three of each.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and isinstance(tensor, Tensor) and state[name].shape != tensor.shape
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    problems = [f"{_first(entries)} {what}" for what, entries in groups if entries]
    if problems:
        raise LandscapeError(f"the weights do not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict({**{name: own[name] for name in own if name not in state}, **state})


def check_finite(state: Mapping[str, Tensor], source: object) -> None:
    """Raise a LandscapeError that names the tensors of `state` with NaN or inf, if there are any."""
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise LandscapeError(f"{source}: NaN or inf in {_first(bad)}; these weights cannot be analysed")


def read_torch_file(path: Path, *, expected: str = "a weight file") -> Any:
    """Return what `torch.save` wrote, on the CPU, loaded with `weights_only=True` so that no pickled code runs.

    Raises:
        LandscapeError: Missing, a folder, empty, truncated or damaged, another format, or pickled objects.
    """
    head = _head(path, expected)
    try:
        if head.startswith(b"PK"):
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TorchScript and old formats: the error says it
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if head[:1] != b"\x80" and not head.startswith(b"PK"):
            raise LandscapeError(f"{path} is not {expected}: it is no file of torch.save{_hint(head)}") from error
        raise LandscapeError(
            f"{path} is not {expected}: it holds pickled objects, which are never run; save model.state_dict() instead"
        ) from error
    except Exception as error:  # damage can surface as almost anything
        if head.startswith(b"PK") or head[:1] == b"\x80":
            raise LandscapeError(f"{path} is truncated or damaged; copy or make it again") from error
        raise LandscapeError(f"{path} is not {expected}: it is no file of torch.save{_hint(head)}") from error


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


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _type(value: object) -> str:
    return type(value).__name__


def _first(entries: list[str]) -> str:
    more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
    return ", ".join(entries[:3]) + more
