"""A task on its way to a worker: its parts, the settings of torch that values depend on, and where code is found."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from landscape.errors import LandscapeError
from landscape.execution.allocator import tune_allocator
from landscape.execution.protocol import Task

USER_MODULES = "landscape_user_"  # prefix of the modules that were imported from a file by its path


@dataclass(frozen=True)
class Payload:
    """A pickled task with the state of the process that it comes from."""

    folders: list[str]  # that modules are imported from
    files: Mapping[str, str]  # paths of the user's modules by name
    switches: Mapping[str, Any]  # of torch
    threads: int
    parts: bytes


def pack(task: Task[Any, Any]) -> bytes:
    """Return a task as bytes.

    Raises:
        LandscapeError: if it holds objects that cannot be pickled.
    """
    try:
        parts = pickle.dumps(task.portable())
    except LandscapeError:
        raise
    except Exception as error:  # whatever the user's objects raise
        reason = " ".join(str(error).split())
        raise LandscapeError(
            f"workers are processes of their own, and this cannot be sent to one: {reason}; define it at the top of a "
            "module, or use one worker"
        ) from error
    files = {name: str(m.__file__) for name, m in sys.modules.items() if name.startswith(USER_MODULES)}
    return pickle.dumps(Payload(list(sys.path), files, _switches(), task.threads, parts))


def unpack(payload: bytes, device: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Return the function of a packed task in this process, with its state on a device."""
    received: Payload = pickle.loads(payload)  # from the process that started this one
    sys.path[:] = received.folders
    for name, file in received.files.items():
        if name not in sys.modules:
            _import_file(name, file)
    tune_allocator()
    if device.startswith("cuda"):
        torch.cuda.set_device(device)  # so that nothing is allocated on the first GPU by the way
    torch.set_num_threads(received.threads)
    _switch(received.switches)
    function: Callable[[Iterable[Any]], Iterable[Any]] = pickle.loads(received.parts).assemble(device)
    return function


def _import_file(name: str, file: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def _switches() -> dict[str, Any]:
    """Return the settings of torch that decide about values: a new process starts with the defaults."""
    switches: dict[str, Any] = {
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
    }
    with suppress(RuntimeError):  # which torch raises if its newer switches contradict it; objectives set their own
        switches["matmul"] = torch.get_float32_matmul_precision()
    return switches


def _switch(switches: Mapping[str, Any]) -> None:
    torch.set_default_dtype(switches["dtype"])
    if "matmul" in switches:
        torch.set_float32_matmul_precision(switches["matmul"])
    torch.use_deterministic_algorithms(switches["deterministic"], warn_only=switches["warn_only"])
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = switches["cudnn"]
