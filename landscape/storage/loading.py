"""Reading result files with the points that are still in their journals."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import h5py

from landscape.errors import LandscapeError, StorageWarning
from landscape.results import Result
from landscape.storage.contents import FORMAT, Contents, read_contents
from landscape.storage.unfinished import Unfinished, read_unfinished


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
