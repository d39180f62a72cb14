"""Writing files so that a crash, a full disk or a refusal never costs the file that was there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from landscape.errors import LandscapeError

if sys.platform != "win32":
    import fcntl


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace a file by the output of `write`, whole or not at all; missing parent folders are created.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and then renamed over `path`; the
    folder is flushed last. After any failure the old file is still there and no temporary file is left; those of
    writes that were killed are removed.

    Args:
        path: The file to replace; a symbolic link is followed, so that the link stays.
        write: Called once with a binary file open for writing.

    Raises:
        LandscapeError: The operating system refused (no permission, disk full, a folder at `path`); one line saying so.
            Other exceptions of `write` pass through unchanged.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "a folder is there")
        mode = target.stat().st_mode & 0o777 if target.exists() else None
        if mode is not None and not os.access(target, os.W_OK):
            raise PermissionError(None, "the file there is write-protected")
        remove_temporaries(target)
        temporary, file = _open_temporary(target)
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
        _flush_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise LandscapeError(f"cannot write {path}: {refusal}; free it or choose another path") from error


def remove_temporaries(path: str | Path) -> None:
    """Remove the temporary files of killed writes of `path`; those of running writes are locked and stay."""
    with contextlib.suppress(OSError):
        target = Path(path).resolve()
        stem = re.escape(_temporary_stem(target))
        for entry in target.parent.iterdir():
            if re.fullmatch(rf"{stem}[0-9a-f]{{12}}\.tmp", entry.name):
                with contextlib.suppress(OSError), entry.open("rb") as file:
                    if os.name == "nt":
                        file.close()  # open files cannot be removed there, which protects those of running writes
                    if _lock(file):
                        entry.unlink()


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal.

    Raises:
        LandscapeError: The file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LandscapeError(f"cannot read {path}: {error.strerror or error}") from error


def _open_temporary(target: Path) -> tuple[Path, BinaryIO]:
    """Create a temporary file for `target`, locked until it is closed, which tells it from one of a killed write."""
    while True:
        temporary = target.with_name(f"{_temporary_stem(target)}{secrets.token_hex(6)}.tmp")
        file = temporary.open("xb")
        if _lock(file) and temporary.exists():  # else another process removed it before it was locked
            return temporary, file
        file.close()


def _lock(file: BinaryIO) -> bool:
    """Lock an open file; return False if another process holds it. Not on Windows, where open files stay anyway."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: what is being written cannot be told from what was left
            return "r" not in file.mode
    return True


def _temporary_stem(target: Path) -> str:
    """Return the start of the names of a file's temporary files: names have at most 255 bytes, characters up to 4."""
    name = os.fsencode(target.name)
    if len(name) > 100:
        start = name[:80].decode("utf-8", "ignore").encode()  # some file systems refuse half a character
        name = start + b"~" + hashlib.sha256(name).hexdigest()[:16].encode()
    return f".{os.fsdecode(name)}."


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems cannot flush a folder; the file itself is already whole and in place.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(error: BaseException | None) -> str | None:
    """Return the operating system's reason in `error` or in its causes (torch wraps it), if there is one."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        error = error.__cause__
    return None
