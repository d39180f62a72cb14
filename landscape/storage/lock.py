"""A lock file that lets one process at a time write, and is removed with the lock."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import filelock


class Lock:
    """An exclusive lock, taken at once or not at all.

    The lock file is removed while the lock is still held. A process that had opened the file before would then lock a
    file that is in no folder, beside one that locks a new file; so a lock counts only if its file is still in place.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = filelock.FileLock(path, timeout=0)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            filelock.Timeout: if another process holds it.
            OSError, NotImplementedError: if the folder cannot be written, or its file system has no locks.
        """
        while True:
            self._lock.acquire()
            if self._in_place():
                return
            self._lock.release()

    def release(self) -> None:
        """Remove the file, and release the lock; nothing happens if it is not held."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):  # Windows keeps open files, and removes this one upon the release
                if self._in_place():  # another process may have removed it, and a third made its own
                    self.path.unlink(missing_ok=True)
            self._lock.release()

    def _in_place(self) -> bool:
        """Return whether the locked file is the one of that name; True if that cannot be told."""
        descriptor = getattr(getattr(self._lock, "_context", None), "lock_file_fd", None)
        if descriptor is None or os.name == "nt":
            return True
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False
