"""Snapshots of a run: weights and buffers before the first and after each epoch, one safetensors file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import nn
from torch.optim import Optimizer

from landscape.storage.atomic_write import write_atomically


def _snapshot_path(folder: Path, epoch: int) -> Path:
    """Return the path of the snapshot after an epoch; epoch 0 has the initial weights."""
    return folder / f"epoch-{epoch:04d}.safetensors"


def second_moments_path(snapshot: Path) -> Path:
    """Return the path of the second moments beside a snapshot, in a folder of their own.

    >>> second_moments_path(Path("sam-snapshots/epoch-0001.safetensors")).as_posix()
    'sam-snapshots/second-moments/epoch-0001.safetensors'
    """
    return snapshot.parent / "second-moments" / snapshot.name


def write_snapshot(model: nn.Module, folder: Path, epoch: int, metadata: Mapping[str, str]) -> Path:
    """Write the weights and buffers of a model with metadata, to which the epoch is added, and return the path."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    image = save(tensors, metadata={**metadata, "epoch": str(epoch)})
    path = _snapshot_path(folder, epoch)
    write_atomically(path, lambda file: file.write(image))
    return path


def write_second_moments(optimizer: Optimizer, model: nn.Module, snapshot: Path) -> None:
    """Write the second moments of Adam or AdamW by parameter beside a snapshot; nothing for other optimizers.

    They precondition the Hessian whose largest eigenvalue is at Adam's edge of stability (Cohen et al. 2022,
    arXiv:2207.14484).
    """
    states = {name: optimizer.state.get(p, {}) for name, p in model.named_parameters()}
    moments = {
        name: state["exp_avg_sq"].detach().cpu().contiguous() for name, state in states.items() if "exp_avg_sq" in state
    }
    settings = optimizer.param_groups[0]
    if not moments or not {"betas", "eps"} <= settings.keys():
        return
    step = max(int(state["step"]) for state in states.values())
    beta1, beta2 = settings["betas"]
    metadata = {"step": step, "beta1": beta1, "beta2": beta2, "eps": settings["eps"]}
    image = save(moments, metadata={name: str(value) for name, value in metadata.items()})
    path = second_moments_path(snapshot)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, lambda file: file.write(image))
