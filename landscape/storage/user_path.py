"""Paths as users write them; pipes, devices and empty names are refused before anything waits for them."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from landscape.errors import LandscapeError

_ABSOLUTE = re.compile(
    r"\A((?:--[\w-]+=)?(?:folder:|npz:)?)"  # what may stand before a path
    r"(?:/|~[^\\/]*[\\/]|[A-Za-z]:[\\/]|\\\\)(?:.*[\\/])?([^\\/]+)[\\/]*\Z",
    re.DOTALL,
)
_SPECIAL = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def user_path(text: str) -> Path:
    """Return the path a user wrote, a ~ at its start expanded (the shell leaves that of --out=~/x and of quotes).

    Raises:
        LandscapeError: an empty name, and what `refuse_special` raises.
    """
    if not text:
        raise LandscapeError("expected the name of a file or folder, got an empty one")
    path = Path(os.path.expanduser(text))  # noqa: PTH111  # unlike Path's, it leaves a file named ~name alone
    refuse_special(path)
    return path


def refuse_special(path: Path) -> None:
    """Refuse a path that the system cannot look up, or of something else than a file or folder; it need not exist.

    Reading a pipe or a device may wait, or go on, for ever; and replacing one would destroy it.

    Raises:
        LandscapeError: a name that is too long, links in a circle, a folder that may not be searched, a pipe, ...
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise LandscapeError(f"cannot use {path}: {getattr(error, 'strerror', None) or error}") from error
    for is_such, what in _SPECIAL:
        if is_such(mode):
            raise LandscapeError(f"{path} is {what}; expected a file or folder")


def file_head(path: Path, expected: str) -> bytes:
    """Return the first 16 bytes of a file.

    Args:
        path: of the file.
        expected: kind of file, for messages.

    Raises:
        LandscapeError: if it is missing, a folder, a pipe, unreadable or empty.
    """
    refuse_special(path)
    if path.is_dir():
        raise LandscapeError(f"{path} is a folder; expected {expected}")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise LandscapeError(f"no such file: {path}; expected {expected}") from error
    except OSError as error:
        raise LandscapeError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise LandscapeError(f"{path} is empty; expected {expected}")
    return head


def make_writable_folder(path: Path) -> None:
    """Create the folder of a file and check that it is writable, before long work for that file.

    Raises:
        LandscapeError: if it is not.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise LandscapeError(f"cannot write {path}: {path.parent} is a file, not a folder") from error
    except OSError as error:
        raise LandscapeError(f"cannot write {path}: {error.strerror or error}; give another --out") from error


def without_folders(word: str) -> str:
    """Return a word of a command line, an absolute path in it shortened to its name.

    >>> without_folders("--data=npz:/home/me/data.npz")
    '--data=npz:.../data.npz'
    """
    return _ABSOLUTE.sub(r"\1.../\2", word)
