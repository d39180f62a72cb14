"""Checks of the machine: packages, processor, devices, threads, and the cache."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import torch

from landscape.data.cache import cache_folder
from landscape.data.downloads import import_datasets
from landscape.errors import LandscapeError
from landscape.execution.allocator import tune_allocator
from landscape.execution.device import choose_device, free_memory, has_bfloat16
from landscape.execution.limits import available_bytes, usable_cores
from landscape.version import __version__
from landscape.workflow.doctor.finding import Finding

REQUIRED = ("torch", "torchvision", "numpy", "scipy", "h5py", "plotly")
OPTIONAL = ("kaleido", "trimesh", "ray")
SLOW = 1.0  # time of bfloat16 over that of float32


def packages() -> Finding:
    """Return the versions; warn of another package named `landscape`, and of a torchvision that does not fit torch."""
    versions = {"landscape-toolkit": __version__, "python": platform.python_version()}
    versions |= {name: version for name in (*REQUIRED, *OPTIONAL) if (version := _version(name))}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if (other := _version("landscape")) is not None:
        message = f"{text}; the package landscape {other} of another project is installed under the same name"
        return Finding("packages", "warning", message, "pip uninstall landscape, and install ours again", versions)
    try:
        import_datasets()
    except LandscapeError as error:
        return Finding("packages", "warning", f"{text}; {error}", "or use data other than downloads", versions)
    return Finding("packages", "ok", text, values=versions)


def processor() -> Finding:
    """Return the vector units of the CPU, and the time of a convolution in bfloat16 relative to float32."""
    flags = _cpu_flags()
    native = bool({"avx512_bf16", "amx_bf16", "bf16"} & flags)
    amx = bool({"amx_tile", "amx_bf16"} & flags)
    ratio = _bfloat16_time()
    values = {
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": native if flags else None,
        "amx": amx if flags else None,
        "bfloat16_time": ratio,
    }
    known = f"bfloat16 {_yes(native)}, AMX {_yes(amx)}" if flags else "instruction sets unknown"
    message = f"{values['machine']} {values['capability']}, {known}; a bfloat16 convolution takes {ratio:.2g} × float32"
    slow = "surfaces are computed in float32, since bfloat16 is not faster here" if ratio > SLOW else ""
    return Finding("processor", "ok", f"{message}; {slow}" if slow else message, values=values)


def devices() -> Finding:
    """Return the devices that torch can use, and which one `--device auto` takes."""
    names = ["cpu"]
    names += [
        f"cuda:{number} ({torch.cuda.get_device_name(number)}, "
        f"{free_memory(torch.device('cuda', number)) / 1e9:.0f} GB free, "
        f"bfloat16 {_yes(has_bfloat16(torch.device('cuda', number)))})"
        for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    names += ["mps"] if torch.backends.mps.is_available() else []
    chosen = str(choose_device("auto"))
    values = {"devices": names, "auto": chosen, "cuda_build": torch.version.cuda}
    message = f"{', '.join(names)}; auto takes {chosen}"
    if torch.version.cuda is None and Path("/proc/driver/nvidia/version").exists():
        remedy = "install torch with CUDA to use the GPU"
        return Finding(
            "devices", "warning", f"{message}; the NVIDIA driver is here, torch is built without CUDA", remedy
        )
    return Finding("devices", "ok", message, values=values)


def threads() -> Finding:
    """Return the threads of torch, the cores that this process may use, and the free memory."""
    count, cores, memory = torch.get_num_threads(), usable_cores(), available_bytes()
    values = {
        "threads": count,
        "cores": cores,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "memory": memory,
        "allocator": tune_allocator(),
    }
    allocator = "tuned" if values["allocator"] else "not tuned (no glibc)"
    message = f"{count} threads on {cores} cores, {memory / 1e9:.1f} GB of free memory, allocator {allocator}"
    if count > cores:
        remedy = f"set OMP_NUM_THREADS={cores}: threads that wait for a core slow every pass"
        return Finding("threads", "warning", message, remedy, values)
    return Finding("threads", "ok", message, values=values)


def cache() -> Finding:
    """Return the folder of downloads and decoded images, and its size."""
    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    values = {"folder": str(folder), "bytes": size}
    if not os.access(existing, os.W_OK):
        remedy = "name a folder that can be written in the environment variable LANDSCAPE_CACHE"
        return Finding("cache", "warning", f"{folder} cannot be written", remedy, values)
    return Finding("cache", "ok", f"{folder}, {size / 1e6:.1f} MB", values=values)


CHECKS: Sequence[Callable[[], Finding]] = (packages, processor, devices, threads, cache)


def examine_machine(checks: Sequence[Callable[[], Finding]] = CHECKS) -> list[Finding]:
    """Return the finding of each check.

    >>> [finding.check for finding in examine_machine([threads])]
    ['threads']
    """
    return [check() for check in checks]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_flags() -> set[str]:
    """Return the flags of the first core; empty if the system does not list them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set())


def _bfloat16_time() -> float:
    """Return the time of a convolution in bfloat16 relative to float32, the best of several."""

    def seconds(dtype: torch.dtype) -> float:
        x = torch.ones(32, 16, 32, 32, dtype=dtype).to(memory_format=torch.channels_last)
        w, best = torch.ones(16, 16, 3, 3, dtype=dtype), float("inf")
        for _ in range(5):  # the first one warms up
            started = time.perf_counter()
            torch.nn.functional.conv2d(x, w, padding=1)
            best = min(best, time.perf_counter() - started)
        return best

    with torch.no_grad():
        return seconds(torch.bfloat16) / seconds(torch.float32)


def _yes(known: bool) -> str:
    return "yes" if known else "no"
