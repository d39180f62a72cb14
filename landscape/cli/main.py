"""Entry point: parse, run one command, and turn expected errors into one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import tyro
from tyro.conf import subcommand

from landscape import __version__
from landscape.cli import console
from landscape.cli.demo import Demo
from landscape.cli.hessian import Hessian
from landscape.cli.info import Info
from landscape.cli.report import Report
from landscape.cli.sharpness import Sharpness
from landscape.cli.surface import Surface
from landscape.cli.train import Train
from landscape.errors import LandscapeError

Command: TypeAlias = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Surface, subcommand("surface")]
    | Annotated[Hessian, subcommand("hessian")]
    | Annotated[Sharpness, subcommand("sharpness")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Info, subcommand("info")]
)

DESCRIPTION = """Sharpness analysis and loss-landscape visualization of neural networks.

Train paired checkpoints, measure how flat their minima are, and look at the landscape around them:

  landscape demo                                    everything, on embedded data, in under three minutes
  landscape train pair --data cifar10 --epochs 15   SAM and Adam from the same initial weights
  landscape surface a.pt b.pt                       loss surfaces on the same random plane
  landscape sharpness a.pt b.pt                     a table of sharpness measures
  landscape report results/*.h5 --open              one interactive page of all of it
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit 0 when done, 2 on an expected error, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"landscape {__version__}")
        return
    command: Command = tyro.cli(  # type: ignore[call-overload]
        Command,
        prog="landscape",
        description=DESCRIPTION,
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
    console.started_with(arguments)
    try:
        command.run()
    except LandscapeError as error:
        console.error(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        console.error(f"stopped; what was finished is kept. To go on: {console.command()}")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
