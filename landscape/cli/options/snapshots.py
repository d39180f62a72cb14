"""Options that turn a measurement of a checkpoint into one of its run's snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from landscape.cli.options.analysis import expect_number
from landscape.errors import LandscapeError

# The flag alone is (), the flag with a value ("value",), no flag None.
OptionalValue: TypeAlias = Annotated[
    tuple[str, ...] | None,
    PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="[DIR|A,B,...]",
        instance_from_str=tuple,
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: list(value or ()),
    ),
]


@dataclass(frozen=True)
class SnapshotOptions:
    """Snapshots along a training run."""

    snapshots: Annotated[OptionalValue, arg(help_behavior_hint="(default: the checkpoint alone)")] = None
    """Measure the run's snapshots over its epochs: <checkpoint>-snapshots, or the folder or files named in order."""
    every: Annotated[int, arg(metavar="N")] = 1
    """With --snapshots: every N-th of them, and the last."""


def check_snapshots(options: SnapshotOptions, checkpoints: int) -> None:
    """Check that the options make sense, alone and with the checkpoints.

    Raises:
        LandscapeError: where they do not.
    """
    expect_number("--every", options.every, least=1)
    if options.snapshots is None:
        if options.every > 1:
            raise LandscapeError("--every is of --snapshots, which is not given")
        return
    if options.snapshots and not checkpoints:
        raise LandscapeError(
            f"expected at least one checkpoint, got only --snapshots {options.snapshots[0]}; put it before --snapshots"
        )
    if options.snapshots and checkpoints > 1:
        raise LandscapeError(
            f"--snapshots {options.snapshots[0]} are of one run, got {checkpoints} checkpoints; "
            "--snapshots alone takes those beside each"
        )
