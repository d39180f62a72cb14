"""The device that tensors live on."""

from __future__ import annotations

import os

import torch

from landscape.errors import LandscapeError
from landscape.execution.limits import group_bytes

EMULATED_SLOWDOWN = 3.0  # bfloat16 this many times slower than float32 is emulated (about ten times in practice)


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


def free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; of the machine or its container for the CPU (4 GB if the system is silent).

    On CUDA with those that torch has reserved for tensors to come.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + unused)
    try:
        free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on Windows, SC_AVPHYS_PAGES not on macOS
        free = 4e9
    return min(free, group_bytes())


def has_bfloat16(device: torch.device) -> bool:
    """Return True if a device computes in bfloat16 at all, emulated or not on a CPU."""
    if device.type == "cuda":
        with torch.cuda.device(device):  # it asks the current one
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu"
