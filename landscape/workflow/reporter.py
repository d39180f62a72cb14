"""The messages and progress of a measurement, for a terminal or for a Python program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Reports finished steps."""

    def __call__(self, steps: int = 1, note: str = "", *, total: int | None = None) -> None:
        """Advance by some steps; `note` is a short state, `total` their number once it is known."""


class Reporter(Protocol):
    """Receives the messages and progress of a run; the module `landscape.cli.terminal.console` is one."""

    def say(self, message: str) -> None:
        """Show a message."""

    def warn(self, message: str) -> None:
        """Show a warning."""

    def progress(self, label: str, total: int | None) -> AbstractContextManager[Advance]:
        """Show the progress of `total` steps, or of an unknown number."""


class Quiet:
    """Raises warnings as Python warnings and shows nothing else."""

    def say(self, message: str) -> None:
        """Drop a message."""

    def warn(self, message: str) -> None:
        """Raise a Python warning."""
        warnings.warn(message, stacklevel=3)

    @contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Advance]:
        """Show no progress."""

        def advance(steps: int = 1, note: str = "", *, total: int | None = None) -> None:
            pass

        yield advance


class ProgressOnly:
    """Shows the progress of another reporter and drops messages and warnings."""

    def __init__(self, reporter: Reporter) -> None:
        self.progress = reporter.progress

    def say(self, message: str) -> None:
        """Drop a message."""

    def warn(self, message: str) -> None:
        """Drop a warning."""
