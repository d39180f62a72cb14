"""The command line: the only part that knows all the others."""

from landscape.cli.main import main

__all__ = ["main"]
