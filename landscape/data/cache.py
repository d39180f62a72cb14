"""Cache folder of downloads and decoded images, and the arrays cached in it."""

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
    """Return `$LANDSCAPE_CACHE`, or landscape's folder in the platform's cache folder; it may not exist yet."""
    if configured := os.environ.get("LANDSCAPE_CACHE"):
        return Path(configured).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "landscape"
    variable, default = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    return Path(os.environ.get(variable) or Path.home() / default) / "landscape"


def cached_arrays(owner: str, content: object, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of `make`, from the cache if `content` is unchanged since they were stored.

    A damaged cache file is ignored (its checksums are verified), and so is a cache that cannot be written.

    Args:
        owner: Key of the cache file; a new `content` replaces the file of the same owner.
        content: Everything that the arrays depend on, JSON-able.
        make: Computes the arrays by name if no usable file exists.
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
