"""Content of result files and of their journals: results, and the names of those that are damaged."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from landscape.errors import LandscapeError, StorageWarning
from landscape.results import Result
from landscape.storage.hdf5 import check_kind, read_result, write_result
from landscape.storage.integrity import DIGEST, check_text_heaps, digest
from landscape.storage.schema import check_attributes
from landscape.storage.unfinished import Unfinished, read_unfinished
from landscape.version import __version__

FORMAT = "landscape-analysis"
FORMAT_VERSION = 1
_NAMES = "results"  # attribute of the file that lists all results, so that none is missing unnoticed


Signature: TypeAlias = tuple[int, int, int] | None  # inode, size, time of the last change; None if there is no file


@dataclass
class Contents:
    """Results by name, the digest of each as stored, and by name the reason why others cannot be used."""

    results: dict[str, Result] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    signature: Signature = None  # of the file, from before it was read
    problems: dict[str, str] = field(default_factory=dict)


def load(path: str | Path) -> dict[str, Result]:
    """Return every result of an analysis file by name, including points that are still in its journal.

    A damaged result or journal is skipped with a `StorageWarning` that names it.

    Raises:
        LandscapeError: for a missing, foreign, damaged or newer file, and if all its results are damaged.

    >>> import tempfile
    >>> import numpy as np
    >>> from landscape.results import HistoryResult
    >>> from landscape.storage.result_file import ResultFile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ResultFile(f"{folder}/mine.h5") as file:
    ...         file.put("sam/history", HistoryResult({"epoch": np.array([1.0]), "train_loss": np.array([0.5])}))
    ...     load(f"{folder}/mine.h5")["sam/history"].columns["train_loss"].tolist()
    [0.5]
    """
    path = Path(path)
    contents, unfinished = read_with_journal(path)
    if contents.problems and not contents.results:
        name, problem = next(iter(contents.problems.items()))
        raise LandscapeError(f"cannot read any result of {path}; {name}: {problem}")
    warn_of_problems(path, contents)
    if unfinished is not None and unfinished.problem:
        warn(f"{journal_path(path)} is damaged or of another program: {unfinished.problem}; the rest was read")
    if not contents.results and not path.exists():
        raise LandscapeError(f"no such file: {path}")
    return contents.results


def is_analysis_file(path: str | Path) -> bool:
    """Return True if a file is marked as an analysis file; False if it cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except Exception:  # damage can surface as almost anything
        return False


def journal_path(path: Path) -> Path:
    """Return the path of the journal beside a file."""
    return path.with_name(path.name + ".journal")


def refuse_folder(path: Path) -> None:
    """Refuse a folder in place of a file.

    Raises:
        LandscapeError: for a folder.
    """
    if path.is_dir():
        raise LandscapeError(f"{path} is a folder; expected an analysis file (.h5)")


def read_with_journal(path: Path) -> tuple[Contents, Unfinished | None]:
    """Return the content of a file and its journal together, and that of the journal alone with its problem, if any."""
    refuse_folder(path)
    unfinished = read_unfinished(journal_path(path))  # first: a writer replaces the file, then removes the journal
    contents = read_contents(path)
    if unfinished is not None:
        unfinished = dataclasses.replace(unfinished, problem=unfinished.merge_into(contents.results))
    return contents, unfinished


def warn_of_problems(path: Path, contents: Contents) -> None:
    """Warn of each damaged result of a file."""
    for name, problem in contents.problems.items():
        warn(f"{name} in {path} is left out: {problem}")


def warn(message: str) -> None:
    """Issue a `StorageWarning`."""
    warnings.warn(message, StorageWarning, stacklevel=3)


def image_of(results: Mapping[str, Result]) -> tuple[bytes, dict[str, str]]:
    """Return the bytes of an HDF5 file that holds these results, and the digest of each.

    The file is in the format of HDF5 1.8, which has checksums of everything but the arrays and texts; the digests,
    which every reader of this package verifies, are of those.
    """
    digests = {}
    with h5py.File("image", "w", driver="core", backing_store=False, track_order=True, libver=("v108", "v108")) as file:
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "landscape_version": __version__})
        file.attrs[_NAMES] = np.bytes_(json.dumps(list(results)))
        for name, result in results.items():
            group = file.create_group(name)
            write_result(group, result)
            digests[name] = digest(group)
            group.attrs[DIGEST] = np.bytes_(digests[name])
        file.flush()
        image: bytes = file.id.get_file_image()
    return image, digests


def signature(path: Path) -> Signature:
    """Return an identity of a file that changes whenever it is replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_contents(path: Path) -> Contents:
    """Return the content of an analysis file; empty if there is no file.

    Raises:
        LandscapeError: for a file that is foreign, newer than this version, or damaged outside of its results.
    """
    before = signature(path)
    if before is None:
        return Contents()
    try:
        check_text_heaps(path.read_bytes())
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise LandscapeError(f"{path} is an HDF5 file, but not a landscape analysis file")
            if file.attrs["format_version"] > FORMAT_VERSION:
                raise LandscapeError(
                    f"{path} was written by landscape {file.attrs['landscape_version']}; update landscape to read it"
                )
            return _read_all(file, before)
    except LandscapeError:
        raise
    except PermissionError as error:
        raise LandscapeError(f"cannot read {path}: permission denied") from error
    except Exception as error:  # damage can surface as almost anything
        reason = "it is empty" if path.stat().st_size == 0 else "it is damaged, truncated, or no HDF5 file"
        raise LandscapeError(f"cannot read {path}: {reason}") from error


def _read_all(file: Any, before: Signature) -> Contents:
    contents = Contents(signature=before)
    if _NAMES in file.attrs:
        names = [str(name) for name in json.loads(bytes(file.attrs[_NAMES]))]
        verified = True
    else:  # written before files had digests
        names, verified = list(_result_names(file)), False
    for name in names:
        try:
            group = file[name]
            check_kind(group)
            contents.digests[name] = digest(group)
            if verified and contents.digests[name] != bytes(group.attrs[DIGEST]).decode():
                raise ValueError("its numbers or texts were changed since they were written")
            result = read_result(group)
            check_attributes(result.attributes)
            contents.results[name] = result
        except LandscapeError as error:
            contents.problems[name] = str(error)
        except ValueError as error:
            contents.problems[name] = _one_line(error)
        except Exception as error:  # damage can surface as almost anything
            contents.problems[name] = f"it is damaged ({_one_line(error)})"
    return contents


def _result_names(group: Any) -> Iterator[str]:
    for item in group.values():
        if isinstance(item, h5py.Group):
            if "kind" in item.attrs:
                yield item.name.lstrip("/")
            else:
                yield from _result_names(item)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
