"""The surface or line that is being measured, as a journal: a header with its axes, then records of finished points."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.results import POINT, Result, Sampled, points_table
from landscape.storage.hdf5 import LAYOUTS, upgraded
from landscape.storage.journal import read_journal
from landscape.storage.json_values import to_json
from landscape.storage.sampled import SampledLayout, has_beta
from landscape.storage.schema import check_attributes

_KINDS = "line, surface or convexity"
_LARGEST = {"split": 2**15, "metric": 2**15, "n": 2**63, "level": 2**15}  # of the integer columns of a point


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """The content of a journal.

    Attributes:
        name: of the result; empty if the journal is unusable.
        result: the result as far as it has been measured; None if the journal is unusable.
        problem: the reason why the journal, or the part of it after `result`'s points, is unusable; may be empty.
    """

    name: str = ""
    result: Sampled | None = None
    problem: str = ""

    def merge_into(self, results: dict[str, Result]) -> str:
        """Put the result into `results`, unless its points are there; return the problem, if any."""
        known = results.get(self.name)
        if self.result is None:
            return self.problem
        if isinstance(known, Sampled):
            if _row_set(self.result.points) <= _row_set(known.points):
                return self.problem  # stopped between replacing the file and removing the journal
            if known.complete:
                return f"it has other points of {self.name}, which is finished"
        elif known is not None:
            return f"it is of a {self.result.kind} {self.name}, which is a {known.kind} in the file"
        try:
            check_name(self.name, results)
        except ValueError as error:
            return str(error)
        results[self.name] = self.result
        return self.problem


def header_of(name: str, result: Sampled) -> dict[str, Any]:
    """Return a journal's header: everything but the points."""
    beta = getattr(result, "beta", None)
    return {
        "name": name,
        "kind": result.kind,
        "alpha": result.alpha.tolist(),
        "beta": None if beta is None else beta.tolist(),
        "splits": list(result.splits),
        "metrics": list(result.metrics),
        "attributes": json.loads(to_json(result.attributes)),
    }


def record_of(points: NDArray[Any], seconds: float) -> dict[str, Any]:
    """Return a journal's record of some points, (P,) of dtype `POINT`, and the seconds of measuring up to them."""
    return {"rows": [list(row) for row in points.tolist()], "seconds": seconds}


def read_unfinished(path: Path) -> Unfinished | None:
    """Return the content of a journal, as far as it is valid; None if there is none, or its header was never finished.

    Raises:
        LandscapeError: if the operating system refuses to read it.
    """
    journal = read_journal(path)
    if journal is None:
        return None
    if journal.header is None:
        return Unfinished(problem=journal.problem or "its header is not valid: expected a mapping, got nothing")
    try:
        empty = _empty(journal.header)
    except ValueError as error:
        return Unfinished(problem=f"its header is not valid: {error}")
    problem, seconds, rows = journal.problem, 0.0, []
    for number, record in enumerate(journal.records, 1):
        try:
            record_rows, seconds = _rows(record, empty)
        except ValueError as error:
            problem = f"its record {number} is not valid: {error}"
            break
        rows += record_rows
    attributes = dict(empty.attributes)
    if seconds:
        attributes["seconds"] = float(attributes.get("seconds", 0.0)) + seconds
    result = dataclasses.replace(empty, points=points_table(rows, empty.point), attributes=attributes)
    return Unfinished(journal.header["name"], result, problem)


def check_name(name: str, others: Iterable[str]) -> None:
    """Check that a result can have this name beside others.

    Raises:
        ValueError: if it cannot.
    """
    parts = name.split("/")
    if len(parts) < 2 or not all(part.strip(".") and part.isprintable() for part in parts):
        raise ValueError(f"a result cannot be named {name!r}; expected <checkpoint>/<name>")
    for other in others:
        if other.startswith(f"{name}/") or name.startswith(f"{other}/"):
            raise ValueError(f"a result cannot be named {name!r} beside {other!r}; choose another name")


def supersedes(result: Result, other: Result) -> bool:
    """Return True if a surface or line has all points of another one, which is unfinished."""
    if not isinstance(result, Sampled) or not isinstance(other, Sampled) or other.finished:
        return False
    return _row_set(other.points) <= _row_set(result.points)


def _empty(header: Any) -> Sampled:
    """Return the result that a header describes, without points."""
    if not isinstance(header, Mapping):
        raise ValueError(f"expected a mapping, got {_short(header)}")
    missing = [key for key in ("name", "kind", "alpha", "beta", "splits", "metrics", "attributes") if key not in header]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    if not isinstance(header["name"], str):
        raise ValueError(f"expected a name, got {_short(header['name'])}")
    check_name(header["name"], ())
    layout = LAYOUTS.get(header["kind"]) if isinstance(header["kind"], str) else None
    if not isinstance(layout, SampledLayout):
        raise ValueError(f"expected the kind {_KINDS}, got {_short(header['kind'])}")
    axes = {name: _axis(header, name) for name in ("alpha", "beta") if name == "alpha" or has_beta(layout.result)}
    splits, metrics = _names(header, "splits"), _names(header, "metrics")
    if not isinstance(header["attributes"], dict):
        raise ValueError(f"expected attributes as a mapping, got {_short(header['attributes'])}")
    check_attributes(header["attributes"])
    fields = {**axes, "splits": splits, "metrics": metrics, "points": points_table([], layout.result.point)}
    result: Sampled = layout.result(**fields, attributes=header["attributes"], finished=False)
    return upgraded(result)


def _axis(header: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    values = header[name]
    if not isinstance(values, list) or not values or not all(map(_is_finite, values)):
        raise ValueError(f"expected {name} as a list of finite numbers, got {_short(values)}")
    axis = np.array(values, dtype=np.float64)
    if (np.diff(axis) <= 0).any():
        raise ValueError(f"expected {name} in ascending order, got {_short(values)}")
    return axis


def _names(header: Mapping[str, Any], field: str) -> tuple[str, ...]:
    values = header[field]
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise ValueError(f"expected {field} as a list of names, got {_short(values)}")
    if len(set(values)) < len(values):
        raise ValueError(f"expected each of {field} once, got {_short(values)}")
    return tuple(values)


def _rows(record: Any, result: Sampled) -> tuple[list[tuple[Any, ...]], float]:
    """Return the rows of a record, and the seconds up to it."""
    fields: Mapping[str, Any] = record if isinstance(record, Mapping) else {}
    rows: Any
    seconds: Any
    rows, seconds = fields.get("rows"), fields.get("seconds")
    if not isinstance(rows, list):
        raise ValueError(f"expected rows of points, got {_short(record)}")
    if not _is_finite(seconds) or seconds < 0:
        raise ValueError(f"expected seconds of at least 0, got {_short(seconds)}")
    return [_row(row, result) for row in rows], float(seconds)


def _row(row: Any, result: Sampled) -> tuple[Any, ...]:
    names = POINT.names or ()
    if not isinstance(row, list) or len(row) != len(names):
        raise ValueError(f"expected rows of {len(names)} numbers, got {_short(row)}")
    largest = {**_LARGEST, "split": len(result.splits), "metric": len(result.metrics)}
    for name, value in zip(names, row, strict=True):
        if name in largest:
            valid = type(value) is int and 0 <= value < largest[name]
            expected = f"a whole number from 0 to {largest[name] - 1}"
        elif name in ("alpha", "beta"):
            valid, expected = _is_finite(value), "a finite number"
        else:
            valid, expected = type(value) is float or _is_finite(value), "a number"
        if not valid:
            raise ValueError(f"expected {name} as {expected}, got {_short(value)}")
    return tuple(row)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def _row_set(points: NDArray[Any]) -> set[bytes]:
    """Return the rows of a table of points as bytes, all NaN alike: JSON knows one, floats have many."""
    plain = points.copy()
    for column in (name for name in points.dtype.names or () if points.dtype[name].kind == "f"):
        plain[column][np.isnan(plain[column])] = np.nan
    return set(plain.view(f"V{plain.itemsize}").tolist())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
