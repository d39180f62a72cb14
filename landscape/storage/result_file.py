"""Analysis files: any number of named results in one HDF5 file that is only ever replaced whole.

While a surface is being computed its points go to a journal beside the file; readers merge it, and the next writer
moves it into the file. A result's name is ``<checkpoint label>/<name>``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.results import Result, Sampled
from landscape.storage.atomic_write import remove_temporaries, write_atomically
from landscape.storage.journal import Journal
from landscape.storage.loading import (
    Signature,
    image_of,
    journal_path,
    read_contents,
    read_with_journal,
    refuse_folder,
    signature,
    warn,
    warn_of_problems,
)
from landscape.storage.lock import Lock, NoLock
from landscape.storage.schema import check_attributes
from landscape.storage.unfinished import check_name, header_of, read_unfinished, record_of, supersedes

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # from drives that have no file locks


class ResultFile:
    """An analysis file open for writing, as a context manager; a second writer is refused.

    If another process wrote to the file nevertheless, because the lock file was removed, both keep their results. The
    same holds with `lock=False`, for drives without file locks, where no second writer is refused.

    Attributes:
        results: all results by name.
        written: True if anything was written.

    >>> import tempfile
    >>> import numpy as np
    >>> from landscape.results import HistoryResult
    >>> with tempfile.TemporaryDirectory() as folder, ResultFile(f"{folder}/mine.h5") as file:
    ...     file.put("sam/history", HistoryResult({"epoch": np.array([1.0])}))
    ...     list(file.results)
    ['sam/history']
    """

    def __init__(self, path: str | Path, *, lock: bool = True) -> None:
        self.path = Path(path)
        self.results: dict[str, Result] = {}
        self._lock = Lock(f"{self.path}.lock") if lock else NoLock(self.path)
        self._journal: Journal | None = None
        self.written = False
        self._filling = ""  # name of the result in the journal
        self._begun = 0.0  # when, on the monotonic clock
        self._digests: dict[str, str] = {}  # of the results as the file was read or written last
        self._signature: Signature = None  # of the file then
        self._changed: set[str] = set()  # results added, replaced or removed since
        self._is_damaged = False  # the file holds unreadable results, which are kept

    def __enter__(self) -> ResultFile:
        try:
            refuse_folder(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not os.access(self.path, os.W_OK):
                raise PermissionError(None, "the file is write-protected")
            self._lock.acquire()  # makes a file, which shows that the folder is writable: better now than after hours
        except (FileExistsError, NotADirectoryError) as error:
            raise LandscapeError(f"cannot write {self.path}: {self.path.parent} is a file, not a folder") from error
        except filelock.Timeout as error:
            raise LandscapeError(
                f"{self.path} is being written by another process; wait for it or choose another --out"
            ) from error
        except (OSError, NotImplementedError) as error:  # the latter where a file system has no locks
            reason = getattr(error, "strerror", None) or error
            without = isinstance(error, NotImplementedError) or error.errno in WITHOUT_LOCKS
            remedy = "choose another --out" + (
                ", or set HDF5_USE_FILE_LOCKING=FALSE for a drive without file locks" if without else ""
            )
            raise LandscapeError(f"cannot write {self.path}: {reason}; {remedy}") from error
        try:
            if isinstance(self._lock, Lock):  # nobody else is writing
                remove_temporaries(self.path)
            self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close_journal()  # still open where it was interrupted: what is there is kept
        finally:
            self._lock.release()

    def stage(self, name: str, result: Result) -> None:
        """Add a result that the next `put` or `begin` writes."""
        self._check(name, result)
        self.results[name] = result
        self._changed.add(name)

    def put(self, name: str, result: Result) -> None:
        """Store a whole result under a name, replacing what was there."""
        self._check(name, result)
        before = dict(self.results)
        self.results[name] = result
        self._changed.add(name)
        try:
            self._flush(done=name)
        except BaseException:
            self.results = before  # what could not be written must not be in the way of what can
            raise

    def remove(self, name: str) -> None:
        """Remove a result."""
        self._take_journal()
        del self.results[name]
        self._changed.add(name)
        self._flush()

    def begin(self, name: str, result: Sampled) -> None:
        """Start or resume filling a surface or line: `append` adds points, `put` ends it.

        Until then the result is stored as not `finished`, even if all its points are there: what is derived from them
        comes with `put`, in one write.
        """
        self._take_journal()
        result = dataclasses.replace(result, finished=False)
        self.put(name, result)  # a reader sees what is to come, and a resumed run finds its settings
        self._begun = time.monotonic()
        self._journal = Journal(journal_path(self.path), header_of(name, result))
        self._filling = name
        if len(result.points):
            self.append(result.points)

    def append(self, points: NDArray[Any]) -> None:
        """Add finished points to the journal, with the seconds since `begin`; they survive a kill from here on.

        Raises:
            LandscapeError: if another process has taken over the file, or the journal cannot be written.
        """
        if self._journal is None:
            raise RuntimeError("begin() comes before append()")
        if not self._journal.is_in_place():
            raise LandscapeError(
                f"another process took over {self.path} (was its lock file removed?); "
                "what was computed is kept: repeat the command when that process has ended"
            )
        self._journal.append(record_of(points, time.monotonic() - self._begun))

    def _read(self) -> None:
        """Read the file; move the points of its journal into it, and set aside a journal that is damaged."""
        contents, unfinished = read_with_journal(self.path)
        warn_of_problems(self.path, contents)
        self.results, self._digests = contents.results, contents.digests
        self._signature, self._is_damaged = contents.signature, bool(contents.problems)
        journal = journal_path(self.path)
        if unfinished is None or not unfinished.problem:
            if journal.exists():
                self._flush()
            return
        if self.results.get(unfinished.name) is unfinished.result and unfinished.result is not None:
            self._write()
        try:
            aside = journal.rename(_free_path(journal))
        except OSError as error:
            raise LandscapeError(f"cannot rename {journal}, which is damaged: {error.strerror or error}") from error
        warn(f"{journal} is damaged or of another program: {unfinished.problem}; renamed it to {aside.name}")

    def _take_journal(self) -> None:
        """Close the journal, if one is open, and take its points into the results."""
        if self._journal is not None:
            in_place = self._journal.is_in_place()
            self._close_journal()
            unfinished = read_unfinished(journal_path(self.path)) if in_place else None
            if unfinished is not None:
                unfinished.merge_into(self.results)
                self._changed.add(unfinished.name)

    def _flush(self, done: str | None = None) -> None:
        """Replace the file whole, then remove the journal, unless it is of a result that is still being filled."""
        if self.results or self.path.exists():
            self._write()
        if self._journal is None or done == self._filling:
            is_in_place = self._journal is None or self._journal.is_in_place()
            self._close_journal()
            if is_in_place:
                journal_path(self.path).unlink(missing_ok=True)

    def _write(self) -> None:
        """Replace the file whole, together with results that another process added meanwhile."""
        image, digests = image_of(self.results)
        if signature(self.path) != self._signature and self._take_changes(digests):
            image, digests = image_of(self.results)
        if self._is_damaged:
            with contextlib.suppress(FileNotFoundError):
                aside = Path(shutil.copy2(self.path, _free_path(self.path)))
                warn(f"the file with its damaged results is kept as {aside}")
            self._is_damaged = False
        write_atomically(self.path, lambda file: file.write(image))
        self._signature, self._digests, self.written = signature(self.path), digests, True
        self._changed.clear()

    def _take_changes(self, mine: dict[str, str]) -> bool:
        """Take over results that another process stored in the file; `mine` are the digests about to be written."""
        contents = read_contents(self.path)
        taken = False
        for name, result in contents.results.items():
            if contents.digests[name] in (self._digests.get(name), mine.get(name)):
                continue
            changed = self.results.get(name) if name in self._changed else None
            if changed is not None and supersedes(changed, result):
                continue
            key = name if changed is None else _free_name(name, self.results)
            self.results[key] = result
            taken = True
            warn(f"another process stored {name} in {self.path} meanwhile; it is kept as {key}")
        self._is_damaged |= bool(contents.problems)
        return taken

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _check(self, name: str, result: Result) -> None:
        try:
            check_name(name, self.results)
            check_attributes(result.attributes)
        except ValueError as error:
            raise LandscapeError(str(error)) from error


def _free_path(path: Path) -> Path:
    """Return an unused name beside a damaged file."""
    number, free = 1, path.with_name(f"{path.name}.damaged")
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.damaged-{number}")
    return free


def _free_name(name: str, taken: dict[str, Result]) -> str:
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
