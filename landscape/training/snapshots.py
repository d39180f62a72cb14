"""Snapshots of a run: weights and buffers along the way, one safetensors file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn

from landscape.storage.atomic_write import write_atomically


def snapshot_path(folder: Path, epoch: int) -> Path:
    """Return the place of the snapshot after so many epochs; 0 is the initial weights."""
    return folder / f"epoch-{epoch:04d}.safetensors"


def write_snapshot(model: nn.Module, folder: Path, epoch: int, about: Mapping[str, str]) -> Path:
    """Write the weights and buffers of a model, with the epoch and `about` as metadata, and return the place."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    image = save(tensors, metadata={**about, "epoch": str(epoch)})
    path = snapshot_path(folder, epoch)
    write_atomically(path, lambda file: file.write(image))
    return path
