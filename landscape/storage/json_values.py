"""Plain JSON values of nested structures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def jsonable(value: Any) -> Any:
    """Return a structure of plain JSON values: arrays and tuples as lists, inf and NaN as strings.

    >>> jsonable({"p": (2.0, float("inf"))})
    {'p': [2.0, 'inf']}
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):  # NumPy
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
