"""The worker's side: tasks that it holds, and the requests it answers.

This module imports only the standard library, as `workers` does.
"""

from __future__ import annotations

import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError
from landscape.execution.lifeline import end_with_parent

_tasks: dict[int, Callable[[Iterable[Any]], Iterable[Any]]] = {}


@dataclass(frozen=True)
class Outcome:
    """Result of a call, or the failure to raise."""

    value: list[Any]
    seconds: float
    failure: LandscapeError | None = None


def begin() -> None:
    """Prepare a new process: it ends with its parent, and leaves Ctrl-C to it."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # if started by another thread than the main one


def load(key: int, header: Any, parts: Any, device: str, live: Sequence[int]) -> Outcome:
    """Assemble a task on a device, having freed those that are not `live` any more."""
    for other in set(_tasks) - set(live):
        del _tasks[other]

    def assemble() -> list[Any]:
        from landscape.execution.payload import unpack

        _tasks[key] = unpack(header, parts, device)
        return []

    return _attempt(assemble)


def answer(key: int, requests: Sequence[Any]) -> Outcome:
    """Return the results of some requests, in order."""
    return _attempt(lambda: list(_tasks[key](requests)))


def answer_one(key: int, request: Any) -> Outcome:
    """Return the result of one request, which the engine may have sent to several workers at once."""
    return answer(key, (request,))


def _attempt(function: Callable[[], list[Any]]) -> Outcome:
    started = time.perf_counter()
    try:
        return Outcome(function(), time.perf_counter() - started)
    except LandscapeError as error:
        return Outcome([], 0.0, error if _can_be_pickled(error) else LandscapeError(str(error)))
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        failure = LandscapeError(f"a worker failed: {reason} ({Path(last.filename).name}, line {last.lineno})")
        failure.add_note("".join(traceback.format_exception(error)))
        return Outcome([], 0.0, failure)


def _can_be_pickled(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # its arguments are not those of its class
        return False
    return True
