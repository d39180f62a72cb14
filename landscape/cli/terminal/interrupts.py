"""Ctrl-C: the first press lets a command end in order, further ones change nothing, a late one ends it at once.

Only the standard library is imported, so that the handler is there before anything slow is.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from landscape.cli.terminal.streams import Guarded

INTERRUPTED = 130  # exit status
PATIENCE = 3.0  # seconds after which another press no longer waits for the orderly end

_arguments: list[str] = []


def remember(arguments: Sequence[str]) -> None:
    """Keep the arguments of the command line for `command`."""
    _arguments[:] = arguments


def arguments() -> tuple[str, ...]:
    """Return the arguments of the command line."""
    return tuple(_arguments)


def command() -> str:
    """Return the command that repeats this run, to be pasted into a shell."""
    return " ".join(["landscape", *map(shlex.quote, _arguments)])


class Interrupts:
    """The handler of SIGINT.

    Attributes:
        seen: if Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.seen = False
        self._first = 0.0
        self._announced = False
        self._before: Any = None

    def start(self) -> None:
        """Handle SIGINT, unless the process ignores it from its start, as a shell's background jobs do."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and before is not signal.SIG_IGN:
            self._before = before
            signal.signal(signal.SIGINT, self)

    def stop(self, *, exiting: bool) -> None:
        """Handle SIGINT as before `start`; in a process that is `exiting`, ignore it to the end."""
        if self._before is None:
            return
        if not exiting:
            signal.signal(signal.SIGINT, self._before)
        elif self.seen:  # threads are still waited for, which a late press may cut short
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt at the first press; end the process at one `PATIENCE` later, ignore the others."""
        now = time.monotonic()
        if not self.seen:
            self.seen, self._first = True, now
            raise KeyboardInterrupt
        if now - self._first >= PATIENCE:  # something holds the end up, or took the exception for its own
            with contextlib.suppress(RuntimeError):  # stderr is in use by what was interrupted
                self.announce()
            os._exit(INTERRUPTED)

    def announce(self) -> None:
        """Say on stderr, once, which command resumes."""
        if not self._announced:
            self._announced = True
            stderr = Guarded(sys.stderr)
            stderr.write(f"stopped; what was finished is kept. To go on: {command()}\n")
            stderr.flush()
