"""The content of an analysis file: its results, and the names of those that are damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from landscape.errors import LandscapeError
from landscape.results import Result
from landscape.storage.hdf5 import check_kind, read_result, write_result
from landscape.storage.integrity import DIGEST, check_text_heaps, digest
from landscape.storage.schema import check_attributes
from landscape.version import __version__

FORMAT = "landscape-analysis"
FORMAT_VERSION = 1
_NAMES = "results"  # the attribute of the file with the names of all results, so that none is missing unnoticed


Signature: TypeAlias = tuple[int, int, int] | None  # inode, size, time of the last change; None if there is no file


@dataclass
class Contents:
    """Results by name, the digest of each as it is stored, and by name why others cannot be used."""

    results: dict[str, Result] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    signature: Signature = None  # of the file, from before it was read
    problems: dict[str, str] = field(default_factory=dict)


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
    """Return what changes whenever a file is replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_contents(path: Path) -> Contents:
    """Return what an analysis file holds; nothing if there is none.

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
    found = Contents(signature=before)
    if _NAMES in file.attrs:
        names = [str(name) for name in json.loads(bytes(file.attrs[_NAMES]))]
        verified = True
    else:  # written before files had digests
        names, verified = list(_result_names(file)), False
    for name in names:
        try:
            group = file[name]
            check_kind(group)
            found.digests[name] = digest(group)
            if verified and found.digests[name] != bytes(group.attrs[DIGEST]).decode():
                raise ValueError("its numbers or texts were changed since they were written")
            result = read_result(group)
            check_attributes(result.attributes)
            found.results[name] = result
        except LandscapeError as error:
            found.problems[name] = str(error)
        except ValueError as error:
            found.problems[name] = _one_line(error)
        except Exception as error:  # damage can surface as almost anything
            found.problems[name] = f"it is damaged ({_one_line(error)})"
    return found


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
