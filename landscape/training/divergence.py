"""The error of a run whose loss became infinite or NaN."""

from __future__ import annotations

from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint


class DivergedError(LandscapeError):
    """A loss became infinite or NaN; `last` is the checkpoint after the last epoch that was good, if there is one."""

    def __init__(self, message: str, last: Checkpoint | None) -> None:
        super().__init__(message)
        self.last = last
