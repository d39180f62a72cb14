"""From the options of a command to its workers."""

from __future__ import annotations

from landscape.cli.options.analysis import expect
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.execution import Workers
from landscape.execution import open as open_workers
from landscape.execution.device import choose_device
from landscape.execution.limits import affordable_workers


def check_execution(options: ExecutionOptions) -> None:
    """Check the options before anything is read.

    Raises:
        LandscapeError: for contradicting options.
    """
    expect(options.workers >= 1, "--workers", options.workers, "a whole number of at least 1")
    if options.address is not None and options.engine != "ray":
        raise LandscapeError(f"got --address {options.address} without --engine ray, whose cluster it is")
    if options.engine == "inline" and options.workers > 1:
        raise LandscapeError(f"got --engine inline with --workers {options.workers}; expected 1, or another engine")


def workers_of(options: ExecutionOptions, device: str) -> Workers:
    """Return the workers that the options ask for; on this machine's CPU at most as many as it can run.

    Raises:
        LandscapeError: for contradicting options, or a cluster that cannot be reached.
    """
    check_execution(options)
    count = options.workers
    if count > 1 and options.engine in ("auto", "processes") and choose_device(device).type != "cuda":
        most, reason = affordable_workers()
        if count > most:
            console.warn(f"got --workers {count}, taking {most}: this machine has {reason}")
            count = most
    return open_workers(count, options.engine, address=options.address)
