"""Warnings of the package, printed as one line each instead of with a place in the source."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from landscape.cli.terminal import console


@contextmanager
def in_one_line(kind: type[Warning]) -> Iterator[None]:
    """Print warnings of one kind as one line on stderr, each message once, within this context."""
    said: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", kind)
        show = warnings.showwarning

        def say(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, kind):
                show(message, category, *where, **more)
            elif str(message) not in said:
                said.add(str(message))
                console.warn(str(message))

        warnings.showwarning = say
        yield
