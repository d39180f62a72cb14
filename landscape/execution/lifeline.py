"""Child processes that end with their parent, however it ended, even while they import or compute.

This module imports only the standard library: a new process watches its parent before it imports anything slow.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """Let this child process of `multiprocessing` end at once when its parent does."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), name="lifeline", daemon=True).start()


def _exit_after(sentinel: int) -> None:
    """End this process when the sentinel of its parent is ready: a pipe that closes as the parent ends."""
    wait([sentinel])
    os._exit(1)
