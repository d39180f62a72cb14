"""From arguments to a command: tyro parses; its refusals become one line."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

import tyro

from landscape.cli.commands.convexity import ConvexityCommand
from landscape.cli.commands.curve import CurveCommand
from landscape.cli.commands.demo import DemoCommand
from landscape.cli.commands.doctor import DoctorCommand
from landscape.cli.commands.export import ExportCommand
from landscape.cli.commands.hessian import HessianCommand
from landscape.cli.commands.info import InfoCommand
from landscape.cli.commands.report import ReportCommand
from landscape.cli.commands.sharpness import SharpnessCommand
from landscape.cli.commands.surface import SurfaceCommand
from landscape.cli.commands.train import TrainCommand
from landscape.cli.commands.trajectory import TrajectoryCommand
from landscape.errors import LandscapeError


class Runnable(Protocol):
    """A parsed command."""

    def run(self) -> int | None:
        """Measure, store, and print; return the exit status, None for 0."""


COMMANDS: dict[str, tuple[type[Runnable], str]] = {  # name → class, and its line in the overview
    "demo": (DemoCommand, "train and compare SAM and Adam on embedded data"),
    "train": (TrainCommand, "checkpoints by recipe: adam, sam, sgd, ..., or a pair"),
    "surface": (SurfaceCommand, "loss on planes and lines around or between checkpoints"),
    "curve": (CurveCommand, "a curve of low loss between two checkpoints"),
    "trajectory": (TrajectoryCommand, "a training run on its two principal components"),
    "hessian": (HessianCommand, "eigenvalues of the Hessian, its trace and density"),
    "convexity": (ConvexityCommand, "the ratio |lambda_min / lambda_max| over a plane"),
    "sharpness": (SharpnessCommand, "sharpness measures of checkpoints, ranked"),
    "report": (ReportCommand, "one interactive page of all results"),
    "export": (ExportCommand, "images, tables, and files for ParaView and printers"),
    "doctor": (DoctorCommand, "checks of the machine, or of a checkpoint and its data"),
    "info": (InfoCommand, "the content of a checkpoint or an analysis file"),
}

_OVERVIEW = "\n".join(f"  landscape {name:<12} {summary}" for name, (_, summary) in COMMANDS.items())

HELP = f"""\
usage: landscape COMMAND ... [--help]

Sharpness analysis and loss-landscape visualization of neural networks.

{_OVERVIEW}

For example:

  landscape train pair --data cifar10 --epochs 15
  landscape surface checkpoints/*.pt --points 31
  landscape report --open

landscape COMMAND --help lists a command's options with their defaults;
landscape --version prints the version."""


def parse(arguments: Sequence[str]) -> Runnable | None:
    """Return the command of some arguments; None if they ask for help, which is printed.

    Raises:
        LandscapeError: if they cannot be parsed.
    """
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
        raise LandscapeError(f"unknown command {name!r}; {hint}")
    command, _ = COMMANDS[name]
    wants_help = bool({"-h", "--help"} & set(rest))
    if not wants_help:
        _check_options(name, command, rest)
    parser: Any = tyro.cli
    out, err = _Captured(sys.stdout, sys.stdout.encoding if wants_help else "utf-8"), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            parsed: Runnable = parser(
                command,
                prog=f"landscape {name}",
                args=rest,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            print(_wrapped(out.text()), end="")
            return None
        raise LandscapeError(f"{_first_paragraph(err.getvalue())}; see landscape {name} --help") from None
    return parsed


_RENAMED = {"start": "from"}  # options whose name is a keyword of Python


def _check_options(name: str, command: Any, arguments: Sequence[str]) -> None:
    """Refuse an unknown option with the nearest known one.

    Raises:
        LandscapeError: for the first unknown option.
    """
    names = (_RENAMED.get(field.name, field.name) for field in dataclasses.fields(command))
    known = [f"--{name.replace('_', '-')}" for name in names]
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument in options:
        option = argument.partition("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise LandscapeError(f"unknown option {option}; {hint}see landscape {name} --help")


def _first_paragraph(text: str) -> str:
    """Return the first paragraph of a message in a box, without the box and its title, in one line."""
    lines = [line.strip("│| ") for line in text.splitlines() if not line.startswith(("╭", "╰", "+"))]
    end = next((number for number, line in enumerate(lines) if not line.strip("─-")), len(lines))
    return " ".join(lines[:end]).removesuffix(".") or " ".join(text.split())


class _Captured(io.TextIOWrapper):
    """A stream in memory, with an encoding; it reports to be a terminal if the real stream is one."""

    def __init__(self, real: TextIO, encoding: str | None) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding=encoding or "ascii", errors="replace", newline="")
        self._terminal = real.isatty()

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode(self.encoding)


def _wrapped(text: str) -> str:
    """Return help with its paragraphs wrapped; tyro wraps only its boxes."""
    width = shutil.get_terminal_size().columns - 1
    return "\n".join(textwrap.fill(line, width) if line[:1].isalpha() else line for line in text.split("\n"))
