"""Terminal output: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from landscape.cli.terminal.interrupts import arguments
from landscape.stats import number_format
from landscape.storage.json_values import jsonable
from landscape.storage.user_path import without_folders
from landscape.workflow.reporter import Advance

PLAIN_SECONDS = 10.0  # between progress lines where stderr is no terminal

_stderr = Console(stderr=True, highlight=False, markup=False, emoji=False)
_stdout: list[TextIO] = []  # where results go while stdout is redirected


@contextmanager
def results_only_on_stdout() -> Iterator[None]:
    """Send what a user's own code prints to stderr, so that stdout holds results and nothing else."""
    _stdout.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.pop()


@contextmanager
def silent(quiet: bool = True) -> Iterator[None]:
    """Say and print nothing, where several processes share a terminal and another one speaks."""
    was = _stderr.quiet
    _stderr.quiet = was or quiet
    try:
        if quiet:
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123
                _stdout.append(nowhere)
                try:
                    yield
                finally:
                    _stdout.pop()
        else:
            yield
    finally:
        _stderr.quiet = was


def _results() -> TextIO:
    return _stdout[-1] if _stdout else sys.stdout


def recorded_command() -> str:
    """Return the command for provenance: of an absolute path only the name is kept, since files travel."""
    return " ".join(["landscape", *(shlex.quote(without_folders(word)) for word in arguments())])


def say(message: str) -> None:
    """Print a message on stderr."""
    _stderr.print(message, soft_wrap=True)


def warn(message: str) -> None:
    """Print a warning on stderr, in one line."""
    _stderr.print(Text.assemble(("warning:", "yellow"), " ", _one_line(message)), soft_wrap=True)


def error(message: str) -> None:
    """Print an error on stderr, in one line."""
    _stderr.print(Text.assemble(("error:", "red"), " ", _one_line(message)), soft_wrap=True)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    justify: Literal["left", "right"] = "right",
) -> None:
    """Print a table on stdout, the first column left-aligned and the others as `justify` says."""
    table = Table(title=Text(title, style="bold"), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if i == 0 else justify, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    terminal = _results().isatty()  # a file or a pipe has no width of its own
    Console(file=_results(), highlight=False, emoji=False, width=None if terminal else 200).print(table)


def print_json(value: Any) -> None:
    """Print JSON on stdout, inf and NaN as strings."""
    unicode = (_results().encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(jsonable(value), indent=2, ensure_ascii=not unicode, allow_nan=False), file=_results())


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="progress.data.speed")


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show progress with rate and time left on stderr: a bar on a terminal, a line now and then elsewhere."""
    if not _stderr.is_terminal:
        yield _plain_progress(label, total)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=_stderr,
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=total, note="")

        def advance(steps: int = 1, note: str = "", *, total: int | None = None) -> None:
            bar.update(task, advance=steps, note=note, total=total)

        yield advance


def _plain_progress(label: str, total: int | None) -> Advance:
    started = last = time.monotonic()
    done = 0

    def advance(steps: int = 1, note: str = "", *, total: int | None = total) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if _stderr.quiet or (now - last < PLAIN_SECONDS and done != total):
            return
        last = now
        rate = done / max(now - started, 1e-9)
        left = f", {number_format.duration((total - done) / rate)} left" if total is not None else ""
        of = f"/{total}" if total is not None else ""
        print(f"{label}: {done}{of}, {rate:.3g}/s{left} {note}".rstrip(), file=sys.stderr, flush=True)

    return advance
