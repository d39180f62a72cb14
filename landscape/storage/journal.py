"""An append-only file of checksummed records: what has been computed survives `kill -9` at any moment.

Each line is a CRC-32 in hexadecimal, a space, and one JSON value. The first is the header. Reading stops at the first
line that is torn or damaged; everything before it counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from landscape.errors import LandscapeError

SYNC_SECONDS = 2.0  # flushed at every record (a killed process loses none), forced to the disk this often


class Journal:
    """A journal open for appending, created with its header."""

    def __init__(self, path: Path, header: Any) -> None:
        self.path = path
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise LandscapeError(f"cannot create {path}: {error.strerror}") from error
        self._synced = 0.0
        self.append(header)

    def append(self, record: Any) -> None:
        """Append one JSON-able record."""
        payload = json.dumps(record, separators=(",", ":")).encode()
        try:
            self._file.write(b"%08x %s\n" % (zlib.crc32(payload), payload))
            self._file.flush()
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise LandscapeError(
                f"cannot write to {self.path}: {error.strerror}; what was computed before is kept"
            ) from error

    def is_in_place(self) -> bool:
        """Return True if the file of that name is still this one: another process may have removed or replaced it."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file; it stays."""
        with contextlib.suppress(OSError):  # a full disk has been reported by the append that met it
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JournalContent(NamedTuple):
    """Readable part of a journal; `problem` is the reason why that is not all, or empty."""

    header: Any
    records: list[Any]
    problem: str = ""


def read_journal(path: Path) -> JournalContent | None:
    """Return the header and the records of a journal, up to the first damaged one; None if there is no header yet.

    A last line without its end is what a kill leaves: it is left out, and is no problem.

    Raises:
        LandscapeError: if the operating system refuses to read it.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever
            return JournalContent(None, [], "it is no file") if os.path.lexists(path) else None
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LandscapeError(f"cannot read {path}: {error.strerror or error}") from error
    values, problem = [], ""
    for number, line in enumerate(lines[:-1], 1):
        checksum, _, payload = line.partition(b" ")
        try:
            if checksum != b"%08x" % zlib.crc32(payload):
                raise ValueError("checksum")
            values.append(json.loads(payload))
        except (ValueError, RecursionError):
            problem = f"its line {number} of {len(lines) - 1} is damaged"
            break
    if not values:
        return JournalContent(None, [], problem) if problem else None
    return JournalContent(values[0], values[1:], problem)
