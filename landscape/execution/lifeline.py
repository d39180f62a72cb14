"""Child processes that end with their parent, however it ended, even while they import or compute.

This module imports only the standard library: a new process watches its parent before it imports anything slow.
"""

from __future__ import annotations

import importlib
import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait


def call_while_parent_lives(module: str, function: str, *arguments: object) -> None:
    """Call a module's function in a child process of `multiprocessing`, which ends at once when its parent does."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), name="lifeline", daemon=True).start()
    getattr(importlib.import_module(module), function)(*arguments)


def _exit_after(sentinel: int) -> None:
    """End this process when the sentinel of its parent is ready: a pipe that closes as the parent ends."""
    wait([sentinel])
    os._exit(1)
