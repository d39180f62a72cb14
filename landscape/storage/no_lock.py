"""The absence of a lock, for drives that have none."""

from __future__ import annotations

import tempfile
from pathlib import Path


class NoLock:
    """Stands in for the lock of a file: excludes nobody, and checks only that the folder can be written to."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent

    def acquire(self) -> None:
        """Check that a file can be made beside the path.

        Raises:
            OSError: where it cannot.
        """
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    def release(self) -> None:
        """Do nothing."""
