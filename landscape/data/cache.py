"""The folder where downloads and decoded images are kept, and decoded arrays in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.data.npz import read_arrays
from landscape.errors import LandscapeError
from landscape.storage.atomic_write import write_atomically


def cache_folder() -> Path:
    """Return `$LANDSCAPE_CACHE`, else landscape's folder among the platform's caches; it need not exist yet."""
    if chosen := os.environ.get("LANDSCAPE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "landscape"
    variable, default = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    return Path(os.environ.get(variable) or Path.home() / default) / "landscape"


def cached_arrays(owner: str, content: object, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return what `make` returns, from the cache where `content` has not changed since.

    A damaged cache file counts as none (its checksums are verified); a cache that cannot be written is done without.

    Args:
        owner: Whose arrays they are; a newer `content` replaces the file of the same owner.
        content: JSON-able; everything that the arrays depend on.
        make: Called where there is no usable file.
    """
    stem = f"decoded-{_digest(owner)}-"
    path = cache_folder() / f"{stem}{_digest(json.dumps([owner, content]))}.npz"
    with contextlib.suppress(LandscapeError):
        return read_arrays(path)
    arrays = make()
    with contextlib.suppress(LandscapeError, OSError):
        write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
        for old in path.parent.glob(f"{stem}*.npz"):
            if old != path:
                old.unlink()
    return arrays


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
