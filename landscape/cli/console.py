"""What people see: progress and messages on stderr, results on stdout."""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

PLAIN_SECONDS = 10.0  # between progress lines where stderr is no terminal

_stderr = Console(stderr=True, highlight=False)
_command: list[str] = []


def started_with(arguments: Sequence[str]) -> None:
    """Remember the command line, for provenance and for saying how to go on."""
    _command[:] = arguments


def command() -> str:
    """Return the command that repeats this run, with the home folder as `~`."""
    home = str(Path.home())
    words = [word.replace(home, "~") if home != "/" else word for word in _command]
    return " ".join(["landscape", *(word if word.startswith("~") else shlex.quote(word) for word in words)])


def say(message: str) -> None:
    """Print a message on stderr."""
    _stderr.print(escape(message), soft_wrap=True)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    _stderr.print(f"[yellow]warning:[/] {escape(message)}", soft_wrap=True)


def error(message: str) -> None:
    """Print an error on stderr, in one line."""
    _stderr.print(f"[red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout, the first column left-aligned and the others right."""
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out = Console(highlight=False)
    if not out.is_terminal:  # a file or a pipe has no width of its own
        out = Console(highlight=False, width=200)
    out.print(table)


def print_json(value: Any) -> None:
    """Print JSON on stdout, inf and NaN as strings."""
    print(json.dumps(jsonable(value), indent=2, ensure_ascii=False))


def jsonable(value: Any) -> Any:
    """Return a structure of plain JSON values: arrays as lists, inf and NaN as strings."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):  # NumPy
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def number(value: float, stderr: float = math.nan) -> str:
    """Return a number for people: four significant digits, with its standard error where there is one."""
    text = f"{value:.4g}"
    return f"{text} ± {stderr:.2g}" if math.isfinite(stderr) else text


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Advance(Protocol):
    """Reports that a step is done."""

    def __call__(self, steps: int = 1, note: str = "", *, total: int | None = None) -> None:
        """Advance by some steps; `note` says how things stand, `total` how many there are once that is known."""


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show progress with rate and time left on stderr: a bar on a terminal, a line now and then elsewhere."""
    if not _stderr.is_terminal:
        yield _plain_progress(label, total)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_stderr,
        transient=True,
    )
    with bar:
        task = bar.add_task(escape(label), total=total, note="")

        def advance(steps: int = 1, note: str = "", *, total: int | None = None) -> None:
            bar.update(task, advance=steps, note=escape(note), total=total)

        yield advance


def _plain_progress(label: str, total: int | None) -> Advance:
    started = last = time.monotonic()
    done = 0

    def advance(steps: int = 1, note: str = "", *, total: int | None = total) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last < PLAIN_SECONDS and done != total:
            return
        last = now
        rate = done / max(now - started, 1e-9)
        left = f", {duration((total - done) / rate)} left" if total is not None else ""
        of = f"/{total}" if total is not None else ""
        print(f"{label}: {done}{of}, {rate:.2g}/s{left} {note}".rstrip(), file=sys.stderr, flush=True)

    return advance
