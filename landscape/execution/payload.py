"""Payload of a task for a worker: its parts, the settings of torch that values depend on, and the import paths."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import torch

from landscape.errors import LandscapeError
from landscape.execution.allocator import tune_allocator
from landscape.execution.protocol import Portable, Task

USER_MODULES = "landscape_user_"  # prefix of the modules that were imported from a file by its path


@dataclass(frozen=True)
class Header:
    """State of the process that a task comes from."""

    folders: list[str]  # that modules are imported from
    files: Mapping[str, str]  # paths of the user's modules by name
    switches: Mapping[str, Any]  # of torch
    threads: int


def pack(task: Task[Any, Any], dumps: Callable[[Any], bytes] = pickle.dumps) -> tuple[Header, bytes]:
    """Return the header and the pickled parts of a task.

    Raises:
        LandscapeError: if it holds objects that cannot be pickled.
    """
    try:
        parts = dumps(task.portable())
    except LandscapeError:
        raise
    except Exception as error:  # whatever the user's objects raise
        reason = " ".join(str(error).split())
        raise LandscapeError(
            f"workers are processes of their own, and this cannot be sent to one: {reason}; define it at the top of a "
            "module, or use one worker"
        ) from error
    files = {name: str(m.__file__) for name, m in sys.modules.items() if name.startswith(USER_MODULES)}
    return Header(list(sys.path), files, _switches(), task.threads), parts


def unpack(header: Header, parts: Any, device: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Return the function of a task in this process, with its state on a device.

    Args:
        header: of the process that it comes from.
        parts: bytes, or an array of them.
        device: "cpu", "cuda:1", ...
    """
    sys.path += [folder for folder in header.folders if folder not in sys.path and Path(folder or ".").is_dir()]
    _user_files.files.update(header.files)
    if _user_files not in sys.meta_path:
        sys.meta_path.append(_user_files)
    tune_allocator()
    if device.startswith("cuda"):
        torch.cuda.set_device(device)  # so that nothing is allocated on the first GPU by the way
    torch.set_num_threads(header.threads)
    _switch(header.switches)
    portable: Portable[Any, Any] = pickle.loads(memoryview(parts))  # from the process that started this one
    return portable.assemble(device)


class _UserFiles(MetaPathFinder):
    """Finds the modules that were imported from a file by its path, when unpickling needs them."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return the specification of a module of the user's; None for others."""
        file = self.files.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


_user_files = _UserFiles()


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
