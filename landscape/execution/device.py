"""The device that tensors live on."""

from __future__ import annotations

import torch

from landscape.errors import LandscapeError


def choose_device(name: str | torch.device) -> torch.device:
    """Return the device of this name, or the best one of this machine for "auto": CUDA, then MPS, then the CPU.

    >>> choose_device("cpu")
    device(type='cpu')

    Raises:
        LandscapeError: if tensors with values cannot be made on the device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # fails on the meta device, whose tensors hold no values
    except (RuntimeError, AssertionError) as error:
        raise LandscapeError(f"device {str(name)!r} cannot be used here; use auto, cpu, cuda, cuda:1 or mps") from error
    return device
