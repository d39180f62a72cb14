"""JSON of nested structures with NumPy arrays."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


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


def to_json(value: Any) -> str:
    """Return JSON of plain values, NumPy's numbers and arrays, and any mappings; NaN and inf as Python reads them."""

    def encodable(value: Any) -> Any:
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(f"attributes of results are JSON-able, not {type(value).__name__}")

    return json.dumps(value, default=encodable)
