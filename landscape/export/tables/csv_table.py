"""Results as tidy tables: one row per observation, one column per variable, all digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from landscape.figures.kinds.registry import kind_of
from landscape.figures.kinds.result_kind import Columns
from landscape.results import Result


def csv_bytes(result: Result) -> bytes:
    """Return a result as CSV in UTF-8; floats survive a round trip unchanged."""
    columns = table(result)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return text.getvalue().encode("utf-8")


def table(result: Result) -> Columns:
    """Return the columns of a result's table, as its kind states them: one row per observation."""
    columns: Columns = kind_of(result).table(result)
    return columns


def _cells(values: Any) -> Iterator[Any]:
    """Yield values as Python objects, whose text is the shortest that survives a round trip."""
    yield from (values.tolist() if isinstance(values, np.ndarray) else values)
