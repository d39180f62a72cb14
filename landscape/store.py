"""Analysis files: any number of named results in one HDF5 file that is only ever replaced whole.

While a surface is being computed its points go to a journal beside the file; readers merge it, and the next writer moves
it into the file. A result's name is ``<checkpoint label>/<name>``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import h5py
import numpy as np
from numpy.typing import NDArray

from landscape import __version__
from landscape.errors import LandscapeError
from landscape.files import write_atomically
from landscape.hdf5 import as_rows, read_result, write_result
from landscape.journal import Journal, read_journal
from landscape.results import Line, Result, Sampled, Surface, points_table

FORMAT = "landscape-analysis"
FORMAT_VERSION = 1


def load(path: str | Path) -> dict[str, Result]:
    """Return every result of an analysis file by name, points still in its journal included.

    Raises:
        LandscapeError: for a missing, foreign, damaged or newer file.
    """
    path = Path(path)
    results = _read_file(path)
    unfinished = read_journal(_journal_path(path))
    if unfinished is not None:
        _merge(results, *unfinished)
    elif not path.exists():
        raise LandscapeError(f"no such file: {path}")
    return results


class AnalysisFile:
    """An analysis file open for writing, as a context manager; a second writer is refused.

    Attributes:
        results: everything the file holds, by name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.results: dict[str, Result] = {}
        self._lock = filelock.FileLock(f"{self.path}.lock", timeout=0)
        self._journal: Journal | None = None

    def __enter__(self) -> AnalysisFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not os.access(self.path, os.W_OK):
                raise PermissionError(None, "the file is write-protected")
            self._lock.acquire()
        except filelock.Timeout as error:
            raise LandscapeError(
                f"{self.path} is being written by another process; wait for it or choose another --out"
            ) from error
        except OSError as error:
            raise LandscapeError(
                f"cannot write {self.path}: {error.strerror or error}; choose another --out"
            ) from error
        try:
            has_journal = _journal_path(self.path).exists()
            self.results = load(self.path) if has_journal or self.path.exists() else {}
            if has_journal:
                self._flush()
        except BaseException:
            self._lock.release()
            raise
        return self  # the lock file has shown that the folder is writable: better now than after hours of computing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._journal is not None:  # interrupted: keep what is there
                self._journal.close()
                self._journal = None
        finally:
            self._lock.release()

    def put(self, name: str, result: Result) -> None:
        """Store a whole result under a name, replacing what was there."""
        self.results[name] = result
        self._flush()

    def remove(self, name: str) -> None:
        """Remove a result."""
        del self.results[name]
        self._flush()

    def begin(self, name: str, result: Sampled) -> None:
        """Start (or go on) filling a surface or line: `append` adds points, `put` ends it."""
        self.results[name] = result  # type: ignore[assignment]  # Sampled is Line or Surface
        self._journal = Journal(_journal_path(self.path), {"name": name, **_header(result)})
        if len(result.points):
            self.append(result.points)

    def append(self, points: NDArray[Any]) -> None:
        """Add finished points to the journal; they survive a kill from here on."""
        assert self._journal is not None, "begin() comes first"
        self._journal.append(as_rows(points))

    def _flush(self) -> None:
        """Replace the file whole, then drop the journal, whose points it now holds."""
        image = _image(self.results)
        write_atomically(self.path, lambda file: file.write(image))
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        _journal_path(self.path).unlink(missing_ok=True)


def _journal_path(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


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
    if path.is_dir():
        raise LandscapeError(f"{path} is a folder; expected an analysis file (.h5)")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise LandscapeError(f"{path} is an HDF5 file, but not a landscape analysis file")
            if file.attrs["format_version"] > FORMAT_VERSION:
                raise LandscapeError(
                    f"{path} was written by landscape {file.attrs['landscape_version']}; update landscape to read it"
                )
            return {name: read_result(group) for name, group in _result_groups(file)}
    except PermissionError as error:
        raise LandscapeError(f"cannot read {path}: permission denied") from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        reason = "it is empty" if path.stat().st_size == 0 else "it is damaged, truncated, or no HDF5 file"
        raise LandscapeError(f"cannot read {path}: {reason}") from error


def _result_groups(group: Any) -> Iterator[tuple[str, Any]]:
    for item in group.values():
        if isinstance(item, h5py.Group):
            if "kind" in item.attrs:
                yield item.name.lstrip("/"), item
            else:
                yield from _result_groups(item)


def _header(result: Sampled) -> dict[str, Any]:
    return {
        "kind": "surface" if isinstance(result, Surface) else "line",
        "alpha": result.alpha.tolist(),
        "beta": result.beta.tolist() if isinstance(result, Surface) else None,
        "splits": list(result.splits),
        "metrics": list(result.metrics),
        "attributes": dict(result.attributes),
    }


def _merge(results: dict[str, Result], header: Mapping[str, Any], records: list[Any]) -> None:
    """Add a journal's points to the results; they replace the ones of that name, which the journal repeats."""
    points = points_table([tuple(row) for rows in records for row in rows])
    alpha, splits, metrics = np.array(header["alpha"]), tuple(header["splits"]), tuple(header["metrics"])
    known = results.get(header["name"])
    if isinstance(known, Sampled) and known.complete and len(known.points) > len(points):
        return  # killed between replacing the file and removing the journal
    if header["kind"] == "line":
        results[header["name"]] = Line(alpha, splits, metrics, points, header["attributes"])
    else:
        results[header["name"]] = Surface(
            alpha, splits, metrics, points, header["attributes"], np.array(header["beta"])
        )


def with_attributes(result: Result, **attributes: Any) -> Result:
    """Return the result with further attributes."""
    return dataclasses.replace(result, attributes={**result.attributes, **attributes})
