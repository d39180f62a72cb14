"""From words to a command: tyro parses, and what it refuses becomes one clear line instead of its box."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TextIO, TypeAlias

import tyro
from tyro.conf import subcommand

from landscape.cli.commands.convexity import ConvexityCommand
from landscape.cli.commands.curve import CurveCommand
from landscape.cli.commands.demo import DemoCommand
from landscape.cli.commands.export import ExportCommand
from landscape.cli.commands.hessian import HessianCommand
from landscape.cli.commands.info import InfoCommand
from landscape.cli.commands.report import ReportCommand
from landscape.cli.commands.sharpness import SharpnessCommand
from landscape.cli.commands.surface import SurfaceCommand
from landscape.cli.commands.train import TrainCommand
from landscape.cli.commands.trajectory import TrajectoryCommand
from landscape.errors import LandscapeError

Command: TypeAlias = (
    Annotated[DemoCommand, subcommand("demo")]
    | Annotated[TrainCommand, subcommand("train")]
    | Annotated[SurfaceCommand, subcommand("surface")]
    | Annotated[CurveCommand, subcommand("curve")]
    | Annotated[TrajectoryCommand, subcommand("trajectory")]
    | Annotated[HessianCommand, subcommand("hessian")]
    | Annotated[ConvexityCommand, subcommand("convexity")]
    | Annotated[SharpnessCommand, subcommand("sharpness")]
    | Annotated[ReportCommand, subcommand("report")]
    | Annotated[ExportCommand, subcommand("export")]
    | Annotated[InfoCommand, subcommand("info")]
)
COMMANDS = (
    "demo",
    "train",
    "surface",
    "curve",
    "trajectory",
    "hessian",
    "convexity",
    "sharpness",
    "report",
    "export",
    "info",
)

HELP = """\
usage: landscape COMMAND ... [--help]

Sharpness analysis and loss-landscape visualization of neural networks.

  landscape demo         all of it at once, on embedded data, in under 3 minutes

  landscape train        train by a recipe: adam, sam, sgd, sam-sgd, or a pair
  landscape surface      loss surfaces and lines around or between checkpoints
  landscape curve        a curve of low loss between two checkpoints
  landscape trajectory   a training run on its two principal components
  landscape hessian      extreme eigenvalues of the Hessian, with residuals
  landscape convexity    where a plane is convex: |lambda_min / lambda_max|
  landscape sharpness    a table of sharpness measures
  landscape report       one interactive page of all results, for any browser
  landscape export       images, tables, files for ParaView, printers and slides
  landscape info         what a checkpoint or an analysis file holds

For example:

  landscape train pair --data cifar10 --epochs 15
  landscape surface checkpoints/*.pt --points 31
  landscape report --open

landscape COMMAND --help lists a command's options with their defaults;
landscape --version prints the version."""


class Runnable(Protocol):
    """A parsed command."""

    def run(self) -> None:
        """Do it."""


def parse(arguments: Sequence[str]) -> Runnable | None:
    """Return the command that the arguments ask for; None where they ask for help, which is printed.

    Raises:
        LandscapeError: for what cannot be parsed.
    """
    if arguments[0] not in COMMANDS:
        near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(COMMANDS)}"
        raise LandscapeError(f"unknown command {arguments[0]!r}; {hint}")
    parser: Any = tyro.cli  # its overloads know no union of annotated types
    asked = {"-h", "--help"} & set(arguments)
    out, err = _Captured(sys.stdout, sys.stdout.encoding if asked else "utf-8"), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command: Runnable = parser(
                Command,
                prog="landscape",
                args=list(arguments),
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            print(_wrapped(out.text()), end="")
            return None
        raise LandscapeError(_refusal(err.getvalue(), arguments)) from None
    return command


class _Captured(io.TextIOWrapper):
    """A stream kept in memory, of some encoding, and a terminal to those who ask where the real one is."""

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
    """Return help with its paragraphs wrapped; tyro wraps its boxes only."""
    width = shutil.get_terminal_size().columns - 1
    return "\n".join(textwrap.fill(line, width) if line[:1].isalpha() else line for line in text.split("\n"))


def _refusal(text: str, arguments: Sequence[str]) -> str:
    """Return what tyro's box says, in one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    blocks: list[list[str]] = [[]]
    for line in plain.splitlines():
        inside = line.strip("│ ")
        if line.startswith("│") and inside.strip("─"):
            blocks[-1].append(inside)
        else:  # a border or a rule
            blocks.append([])
    blocks = [block for block in blocks if block]
    if not blocks:
        return plain
    said = " ".join(blocks[0]).removesuffix(".")
    for pattern, better in _CLEARER:
        said = re.sub(pattern, better, said)
    near = [line.split()[0] for line in (blocks[1] if len(blocks) > 1 else []) if line.startswith("--")]
    if "Perhaps you meant" in plain and near:
        said += f"; did you mean {' or '.join(near[:2])}"
    return f"{said}; see landscape {arguments[0]} --help"


_CLEARER = (
    (r"^Unrecognized options: ", "unknown option or one too many: "),
    (r"^Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)", r"got \1 \2; expected a whole number"),
    (r"^Error parsing (\S+): could not convert string to float: (.*)", r"got \1 \2; expected a number"),
    (r"^Error parsing (\S+): ", r"\1: "),
    (r"^invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", r"got \2 \1; expected one of \3"),
    (r"^Missing value for argument '(.*)'\. .*", r"\1 needs a value"),
    (r"^Missing from landscape \w+: (\S+) .*", r"missing argument \1"),
)
