"""Analysis files: any number of named results in one HDF5 file that is only ever replaced whole.

While a surface is being computed its points go to a journal beside the file; readers merge it, and the next writer
moves it into the file. A result's name is ``<checkpoint label>/<name>``.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import filelock
import h5py
import numpy as np
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.results import LineResult, Result, Sampled, SurfaceResult, points_table
from landscape.storage.atomic_write import write_atomically
from landscape.storage.hdf5 import as_rows, read_result, write_result
from landscape.storage.hdf5_arrays import to_json
from landscape.storage.journal import Journal, read_journal
from landscape.storage.no_lock import NoLock
from landscape.version import __version__

FORMAT = "landscape-analysis"
FORMAT_VERSION = 1
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # from drives that have no file locks

R = TypeVar("R", bound=Result)


def load(path: str | Path) -> dict[str, Result]:
    """Return every result of an analysis file by name, points still in its journal included.

    Raises:
        LandscapeError: for a missing, foreign, damaged or newer file.
    """
    path = Path(path)
    results = _load(path)
    if not results and not path.exists():
        raise LandscapeError(f"no such file: {path}")
    return results


def is_analysis_file(path: str | Path) -> bool:
    """Return whether a file says that it is an analysis file; False where it cannot be read."""
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:
        return False


class AnalysisFile:
    """An analysis file open for writing, as a context manager; a second writer is refused.

    With `lock=False`, for drives without file locks, it is not: whoever writes last then wins.

    Attributes:
        results: everything the file holds, by name.
        written: whether anything was written.
    """

    def __init__(self, path: str | Path, *, lock: bool = True) -> None:
        self.path = Path(path)
        self.results: dict[str, Result] = {}
        self._lock = filelock.FileLock(f"{self.path}.lock", timeout=0) if lock else NoLock(self.path)
        self._journal: Journal | None = None
        self.written = False
        self._filling = ""  # the result that the journal is of

    def __enter__(self) -> AnalysisFile:
        try:
            _refuse_folder(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not os.access(self.path, os.W_OK):
                raise PermissionError(None, "the file is write-protected")
            self._lock.acquire()  # makes a file, which shows that the folder is writable: better now than after hours
        except (FileExistsError, NotADirectoryError) as error:
            raise LandscapeError(f"cannot write {self.path}: {self.path.parent} is a file, not a folder") from error
        except filelock.Timeout as error:
            raise LandscapeError(
                f"{self.path} is being written by another process; wait for it or choose another --out"
            ) from error
        except (OSError, NotImplementedError) as error:  # the latter where a file system has no locks
            reason = getattr(error, "strerror", None) or error
            without = isinstance(error, NotImplementedError) or error.errno in WITHOUT_LOCKS
            remedy = "choose another --out" + (", or --no-lock for a drive without file locks" if without else "")
            raise LandscapeError(f"cannot write {self.path}: {reason}; {remedy}") from error
        try:
            self.results = _load(self.path)
            if _journal_path(self.path).exists():
                self._flush()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close_journal()  # still open where it was interrupted: what is there is kept
        finally:
            self._lock.release()

    def stage(self, name: str, result: Result) -> None:
        """Add a result that the next `put` or `begin` writes; until then the file is left as it is."""
        self._check_name(name)
        self.results[name] = result

    def put(self, name: str, result: Result) -> None:
        """Store a whole result under a name, replacing what was there."""
        self._check_name(name)
        before = dict(self.results)
        self.results[name] = result
        try:
            self._flush(done=name)
        except BaseException:
            self.results = before  # what could not be written must not be in the way of what can
            raise

    def remove(self, name: str) -> None:
        """Remove a result."""
        self._take_journal()
        del self.results[name]
        self._flush()

    def begin(self, name: str, result: LineResult | SurfaceResult) -> None:
        """Start (or go on) filling a surface or line: `append` adds points, `put` ends it."""
        self._take_journal()
        self.put(name, result)  # a reader sees what is to come, and a resumed run finds its settings
        self._journal = Journal(_journal_path(self.path), {"name": name, **_header(result)})
        self._filling = name
        if len(result.points):
            self.append(result.points)

    def append(self, points: NDArray[Any]) -> None:
        """Add finished points to the journal; they survive a kill from here on."""
        if self._journal is None:
            raise RuntimeError("begin() comes before append()")
        self._journal.append(as_rows(points))

    def _take_journal(self) -> None:
        """Close the journal, if one is open, and take its points into the results."""
        if self._journal is not None:
            self._close_journal()
            _merge(self.results, read_journal(_journal_path(self.path)))

    def _flush(self, done: str | None = None) -> None:
        """Replace the file whole, then drop the journal, unless it is of a result that is still being filled."""
        if self.results or self.path.exists():
            image = _image(self.results)
            write_atomically(self.path, lambda file: file.write(image))
            self.written = True
        if self._journal is None or done == self._filling:
            self._close_journal()
            _journal_path(self.path).unlink(missing_ok=True)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _check_name(self, name: str) -> None:
        parts = name.split("/")
        if len(parts) < 2 or not all(part.strip(".") and part.isprintable() for part in parts):
            raise LandscapeError(f"a result cannot be named {name!r}; expected <checkpoint>/<name>")
        for other in self.results:
            if other.startswith(f"{name}/") or name.startswith(f"{other}/"):
                raise LandscapeError(f"a result cannot be named {name!r} beside {other!r}; choose another name")


def _journal_path(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise LandscapeError(f"{path} is a folder; expected an analysis file (.h5)")


def _load(path: Path) -> dict[str, Result]:
    """Return what the file and its journal hold; nothing where there is neither."""
    _refuse_folder(path)
    unfinished = read_journal(_journal_path(path))  # first: a writer replaces the file, then drops the journal
    results = _read_file(path)
    _merge(results, unfinished)
    return results


def _image(results: Mapping[str, Result]) -> bytes:
    """Return the bytes of an HDF5 file that holds these results."""
    with h5py.File("image", "w", driver="core", backing_store=False, track_order=True) as file:
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "landscape_version": __version__})
        for name, result in results.items():
            write_result(file.create_group(name), result)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _read_file(path: Path) -> dict[str, Result]:
    if not path.exists():
        return {}
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise LandscapeError(f"{path} is an HDF5 file, but not a landscape analysis file")
            if file.attrs["format_version"] > FORMAT_VERSION:
                raise LandscapeError(
                    f"{path} was written by landscape {file.attrs['landscape_version']}; update landscape to read it"
                )
            return {name: read_result(group) for name, group in _result_groups(file)}
    except LandscapeError:
        raise
    except PermissionError as error:
        raise LandscapeError(f"cannot read {path}: permission denied") from error
    except Exception as error:  # damage can surface as almost anything
        reason = "it is empty" if path.stat().st_size == 0 else "it is damaged, truncated, or no HDF5 file"
        raise LandscapeError(f"cannot read {path}: {reason}") from error


def _result_groups(group: Any) -> Iterator[tuple[str, Any]]:
    for item in group.values():
        if isinstance(item, h5py.Group):
            if "kind" in item.attrs:
                yield item.name.lstrip("/"), item
            else:
                yield from _result_groups(item)


def _header(result: LineResult | SurfaceResult) -> dict[str, Any]:
    return {
        "kind": "surface" if isinstance(result, SurfaceResult) else "line",
        "alpha": result.alpha.tolist(),
        "beta": result.beta.tolist() if isinstance(result, SurfaceResult) else None,
        "splits": list(result.splits),
        "metrics": list(result.metrics),
        "attributes": json.loads(to_json(result.attributes)),
    }


def _merge(results: dict[str, Result], journal: tuple[Any, list[Any]] | None) -> None:
    """Add a journal's points to the results; they replace the ones of that name, which the journal repeats."""
    if journal is None:
        return
    header, records = journal
    points = points_table([tuple(row) for rows in records for row in rows])
    known = results.get(header["name"])
    if isinstance(known, Sampled) and _row_set(points) <= _row_set(known.points):
        return  # killed between replacing the file and dropping the journal
    alpha, splits, metrics = np.array(header["alpha"]), tuple(header["splits"]), tuple(header["metrics"])
    if header["kind"] == "line":
        results[header["name"]] = LineResult(alpha, splits, metrics, points, header["attributes"])
    else:
        results[header["name"]] = SurfaceResult(
            alpha, splits, metrics, points, header["attributes"], np.array(header["beta"])
        )


def _row_set(points: NDArray[Any]) -> set[bytes]:
    """Return the rows of a table of points as bytes, all NaN alike: JSON knows one, floats have many."""
    plain = points.copy()
    for column in ("value", "stderr"):
        plain[column][np.isnan(plain[column])] = np.nan
    return set(plain.view(f"V{plain.itemsize}").tolist())


def with_attributes(result: R, **attributes: Any) -> R:
    """Return the result with further attributes."""
    return dataclasses.replace(result, attributes={**result.attributes, **attributes})
