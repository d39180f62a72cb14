"""Entry point: parse, run one command, and turn expected errors into one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from landscape.cli.parsing import HELP, parse
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.version import __version__


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit 0 when done, 2 on an expected error, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console.started_with(arguments)
    try:
        if arguments in ([], ["-h"], ["--help"]):
            print(HELP)
        elif arguments == ["--version"]:
            print(f"landscape {__version__}")
        else:
            command = parse(arguments)
            with console.results_only_on_stdout():
                command.run()
        sys.stdout.flush()
    except LandscapeError as error:
        console.error(str(error))
        sys.exit(2)
    except MemoryError:
        console.error("out of memory; try a smaller --subset or fewer --points, or another --device")
        sys.exit(2)
    except KeyboardInterrupt:
        console.say(f"stopped; what was finished is kept. To go on: {console.command()}")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
