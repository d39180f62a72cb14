"""Snapshots of a run: weights and buffers before the first and after each epoch, one safetensors file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn

from landscape.storage.atomic_write import write_atomically


def _snapshot_path(folder: Path, epoch: int) -> Path:
    """Return the path of the snapshot after an epoch; epoch 0 has the initial weights."""
    return folder / f"epoch-{epoch:04d}.safetensors"


def write_snapshot(model: nn.Module, folder: Path, epoch: int, metadata: Mapping[str, str]) -> Path:
    """Write the weights and buffers of a model with metadata, to which the epoch is added, and return the path."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    image = save(tensors, metadata={**metadata, "epoch": str(epoch)})
    path = _snapshot_path(folder, epoch)
    write_atomically(path, lambda file: file.write(image))
    return path
