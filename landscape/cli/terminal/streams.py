"""Standard streams whose errors do not end a command but decide its exit status."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import IO, Any, TextIO, cast

from landscape.cli.terminal.encoding import HANDLER

IO_ERROR = 74  # exit status, EX_IOERR of sysexits.h
LEAST_COLUMNS = 40  # narrower tables and help cannot be laid out

_GONE = (errno.EPIPE, errno.EINVAL)  # the reader has seen enough (EINVAL on Windows)


class Guarded:
    """A text stream whose failing writes go nowhere instead of raising.

    Attributes:
        error: the first error, if there was one; a reader that went away is none.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, and drop the text where that fails."""
        try:
            self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush, and drop what is left where that fails."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:  # encoding, isatty, fileno, buffer, ...
        return getattr(self._stream, name)

    def _fail(self, error: OSError | ValueError) -> None:
        """Remember the first error, and let everything further go to the null device, at exit too."""
        if self.error is None and isinstance(error, OSError) and error.errno not in _GONE:
            self.error = error
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)


def prepare_process() -> None:
    """Open the null device where a standard descriptor is closed, and see to a width that output can be laid out in.

    Otherwise the next file that is opened, of results for instance, would get the number of a standard stream.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    for name, least in (("COLUMNS", LEAST_COLUMNS), ("LINES", 2)):
        if name in os.environ and not _is_count(os.environ[name]):
            del os.environ[name]
        elif name in os.environ:
            os.environ[name] = str(max(int(os.environ[name]), least))
    with contextlib.suppress(OSError):
        if "COLUMNS" not in os.environ and 0 < os.get_terminal_size(1).columns < LEAST_COLUMNS:
            os.environ["COLUMNS"] = str(LEAST_COLUMNS)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0


@contextlib.contextmanager
def guarded() -> Iterator[Guarded]:
    """Guard stdout and stderr within this context; yield stdout."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):  # "?" for Greek letters instead of a failure
            stream.reconfigure(errors=HANDLER)
    out, err = Guarded(sys.stdout), Guarded(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
