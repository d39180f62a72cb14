"""Locks of files: one process at a time writes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import filelock


class Lock:
    """Exclusive lock by a lock file, which is removed with the lock; acquiring never waits.

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
                if self._in_place():  # another process may have removed it, and a third created its own
                    self.path.unlink(missing_ok=True)
            self._lock.release()

    def _in_place(self) -> bool:
        """Return True if the locked file is the one of that name, or if the platform cannot tell."""
        descriptor = getattr(getattr(self._lock, "_context", None), "lock_file_fd", None)
        if descriptor is None or os.name == "nt":
            return True
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False


class NoLock:
    """Substitute for a lock on drives without file locks: excludes nobody, checks that the folder is writable."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent

    def acquire(self) -> None:
        """Check that a file can be created beside the path.

        Raises:
            OSError: if it cannot.
        """
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    def release(self) -> None:
        """Do nothing."""
