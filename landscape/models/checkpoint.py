"""Checkpoints: weights with the configuration, history and provenance needed to repeat and verify them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape import models
from landscape.errors import LandscapeError
from landscape.models.state_dict import check_finite, load_state
from landscape.models.weight_files import load_weights, read_torch_file
from landscape.storage.atomic_write import file_sha256, write_atomically

__all__ = [
    "Checkpoint",
    "build_model",
    "file_sha256",
    "is_checkpoint",
    "load_checkpoint",
    "load_state",
    "load_weights",
    "save_checkpoint",
]

FORMAT = "landscape-checkpoint"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model and its provenance. All fields but `state` are JSON-able, without absolute paths."""

    state: dict[str, Tensor]  # parameters and buffers, on the CPU
    model: str  # a key of `landscape.models.MODELS`
    model_arguments: dict[str, Any]
    data: dict[str, Any]  # Dataset.describe(), "spec" without a path, "augmented"
    training: dict[str, Any]  # recipe, optimizer, rho, epochs, batch_size, lr, weight_decay, seed, schedule, precision
    history: dict[str, list[float]]  # the columns of results.History, one value per epoch
    final: dict[str, Any]  # train_loss, train_accuracy, test_loss, test_accuracy: float32, un-augmented, full splits
    reference: dict[str, Any] = field(
        default_factory=dict
    )  # loss on a named subset, which an analysis reproduces first
    provenance: dict[str, Any] = field(default_factory=dict)  # landscape, torch, created, device, threads, seconds


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a checkpoint atomically: an older file at `path` survives any failure.

    NumPy scalars in the configuration become plain numbers, and tuples become lists, so that it loads as JSON-able.

    >>> import pathlib, tempfile, torch, landscape
    >>> state = torch.nn.Linear(2, 1).state_dict()
    >>> checkpoint = Checkpoint(state, "linear", {}, {"name": "digits"}, {"recipe": "sam"}, {}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     landscape.save_checkpoint(checkpoint, pathlib.Path(folder) / "sam.pt")
    ...     landscape.load_checkpoint(pathlib.Path(folder) / "sam.pt").training
    {'recipe': 'sam'}

    Raises:
        LandscapeError: for weights with NaN or inf, or a path that cannot be written.
        TypeError: for configuration that is not JSON-able, such as an object.
    """
    check_finite(checkpoint.state, f"the weights for {path}")
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    for entry in fields(Checkpoint):
        value = getattr(checkpoint, entry.name)
        # A clone, since a view would store its whole storage.
        content[entry.name] = (
            {name: tensor.detach().cpu().clone() for name, tensor in value.items()}
            if entry.name == "state"
            else _plain(value, entry.name)
        )
    buffer = io.BytesIO()  # torch would name the archive after the temporary file, and hide the OSError of a full disk
    torch.save(content, buffer)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Return the checkpoint in a file, bit for bit as saved, on the CPU. No code in the file is run.

    >>> import landscape
    >>> landscape.load_checkpoint("missing.pt")
    Traceback (most recent call last):
        ...
    landscape.errors.LandscapeError: no such file: missing.pt...

    Raises:
        LandscapeError: if the file is missing, a folder, empty, truncated, damaged, no landscape checkpoint, from a
            newer landscape, lacks entries, or has weights with NaN or inf.
    """
    path = Path(path)
    content = read_torch_file(path, expected="a landscape checkpoint")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise LandscapeError(
            f"{path} is not a landscape checkpoint; for your own weights add --model package.module:factory and --data"
        )
    version = content.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise LandscapeError(f"{path} has checkpoint format {version}, this landscape reads up to {VERSION}; update it")
    values: dict[str, Any] = {}
    for entry in fields(Checkpoint):
        kind = str if entry.name == "model" else dict
        if not isinstance(content.get(entry.name), kind):
            actual = type(content[entry.name]).__name__ if entry.name in content else "nothing"
            raise LandscapeError(f"{path} is damaged: expected {entry.name} as {kind.__name__}, found {actual}")
        values[entry.name] = content[entry.name]
    others = [name for name, value in values["state"].items() if not isinstance(value, Tensor)]
    if others or not values["state"]:
        raise LandscapeError(f"{path} is damaged: expected tensors in its state, found {others[:3] or 'none'}")
    check_finite(values["state"], path)
    return Checkpoint(**values)


def is_checkpoint(path: str | Path) -> bool:
    """Return True if a file is marked as a landscape checkpoint, without loading it; False if unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            return pickled is not None and FORMAT.encode() in archive.read(pickled)[:4096]
    except (OSError, zipfile.BadZipFile):
        return False


def build_model(checkpoint: Checkpoint) -> nn.Module:
    """Return the model of a checkpoint with its weights, in evaluation mode, without using torch's global generator.

    >>> weights = models.build("resnet20").state_dict()
    >>> model = build_model(Checkpoint(weights, "resnet20", {}, {}, {}, {}, {}))
    >>> torch.equal(model.linear.weight, weights["linear.weight"])
    True

    Raises:
        LandscapeError: for an unknown model, or weights that do not fit it, naming the entries.
    """
    with torch.random.fork_rng(devices=[]):
        model = models.build(checkpoint.model, **checkpoint.model_arguments)
    load_state(model, checkpoint.state)
    return model.eval()


def _plain(value: Any, path: str) -> Any:
    """Return a copy of plain dicts, lists, numbers, strings, booleans and None."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{path} of a checkpoint has keys that are not strings: {list(value)}")
        return {key: _plain(entry, f"{path}.{key}") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry, f"{path}[{index}]") for index, entry in enumerate(value)]
    raise TypeError(f"{path} of a checkpoint must be JSON-able, got {type(value).__name__}")
