"""Options of commands that spread their work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import default


@dataclass(frozen=True)
class ExecutionOptions:
    """Workers, and where they run."""

    workers: Annotated[int, arg(metavar="N")] = 1
    """Processes that share the work, on CUDA one per GPU; the values do not depend on their number."""
    engine: Literal["auto", "inline", "processes", "ray"] = "auto"
    """Place of the workers: this process, processes of this machine, a Ray cluster; auto: processes for several."""
    address: Annotated[str | None, default("RAY_ADDRESS, or this machine alone", "HOST:PORT")] = None
    """The Ray cluster; auto finds the one that runs on this machine."""
    dry_run: bool = False
    """Print the number of tasks, the estimated time and the bytes that travel, and stop."""
