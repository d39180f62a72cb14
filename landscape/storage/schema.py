"""The types of the attributes that figures, tables and commands read; other attributes may hold anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# A type (float takes whole numbers, too); [spec], a list; {name: spec}, a mapping in which these names, if they are
# there, are of these types or None; {...: spec}, a mapping of any names; (spec, spec), one of several.
Spec = Any


class Record(dict[str, Any]):
    """A mapping that has all of these names, none of them None."""


_HEIGHT = Record(value=float, stderr=float, at=float)
_ESTIMATE = {
    "asked": float,
    "measured_95": float,
    "measured_worst": float,
    "held_out": int,
    "saving": float,
    "levels": [{"level": int, "examples": int, "points": int}],
    "splits": {...: {...: float}},
}
_VALUE = Record(value=float, stderr=float, method=str)
ATTRIBUTES: dict[str, Spec] = {
    "barrier": {...: {...: (float, _HEIGHT)}},  # [split][metric]; of earlier versions [metric]
    "batch_size": int,
    "batchnorm": str,
    "bound": str,
    "checkpoint": str,
    "checkpoints": [{"label": str, "sha256": str}],
    "command": str,
    "created": str,
    "data": {
        "kind": str,
        "name": str,
        "classes": [object],
        "notes": [str],
        "examples": {...: int},
        "fingerprints": {...: str},
    },
    "derivative_reason": str,
    "device": str,
    "directions": {
        "kind": str,
        "normalization": str,
        "hashes": [str],
        "explained": [float],
        "parts": [{"kind": str, "eigenvalue": float}],
        "coefficients": [[float]],
        "third": [float],
    },
    "examples": {...: int},
    "family": str,
    "final": {...: float},
    "groups": [(str, int, float)],
    "landscape_version": str,
    "loss": str,
    "marks": [Record(alpha=float, beta=float)],
    "max_products": int,
    "model": str,
    "operator": str,
    "parameters": int,
    "params": str,
    "path": str,
    "position": str,
    "precision": str,
    "precision_error": float,
    "product_error": float,
    "quick": bool,
    "recipe": str,
    "reference": {"recorded": float, "reproduced": float, "agrees": bool},
    "regions": [{"alpha": [float], "beta": [float], "tolerance": _ESTIMATE}],
    "seconds": float,
    "settings": {"max_products": int},
    "subset": (int, str),
    "subsets": Record(count=int, examples=[int]),
    "threads": int,
    "tolerance": (float, _ESTIMATE),
    "trace": (float, _VALUE),
    "frobenius": (float, _VALUE),
    "training": {"recipe": str, "seed": int},
    "width": [Record(rise=float, left=float, right=float)],
}
_MAPPINGS: dict[str, Spec] = {
    "diagnostics": {
        "bound": float,
        "converged": bool,
        "count": int,
        "rounding": float,
        "samples": [float],
        "seconds": float,
        "unit": str,
    },
}
_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Check the types of a result's attributes.

    Raises:
        ValueError: naming the first attribute of another type, what was expected, and what came.
    """
    for name, spec in ATTRIBUTES.items():
        if attributes.get(name) is not None:
            _check(attributes[name], spec, f"attribute {name}")


def check_mapping(name: str, value: Any) -> None:
    """Check the types in a mapping that a record has as a field, such as the diagnostics of a sharpness measure.

    Raises:
        ValueError: naming the first entry of another type, what was expected, and what came.
    """
    _check(value, _MAPPINGS.get(name, {}), name)


def _check(value: Any, spec: Spec, name: str) -> None:
    if isinstance(spec, tuple):
        mapping = next((one for one in spec if isinstance(one, dict)), None)
        if mapping is not None and isinstance(value, Mapping):
            _check(value, mapping, name)
        elif not any(isinstance(one, type) and _is(value, one) for one in spec):
            raise ValueError(f"expected {name} as {_expected(spec)}, got {_received(value)}")
    elif isinstance(spec, list) and isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            _check(entry, spec[0], f"{name}[{number}]")
    elif isinstance(spec, dict) and isinstance(value, Mapping):
        missing = [key for key in spec if key not in value] if isinstance(spec, Record) else []
        if missing:
            raise ValueError(f"expected {name} with {missing[0]}, got {', '.join(map(str, value)) or 'nothing'}")
        for key, entry in value.items():
            one = spec.get(key, spec.get(..., object))
            if entry is not None or isinstance(spec, Record):
                _check(entry, one, f"{name}.{key}")
    elif not isinstance(spec, type) or not _is(value, spec):
        raise ValueError(f"expected {name} as {_expected(spec)}, got {_received(value)}")


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    return isinstance(value, (bool, np.bool_) if kind is bool else kind)


def _expected(spec: Spec) -> str:
    """Return the name of a specification for messages."""
    if isinstance(spec, tuple):
        return " or ".join(_expected(one) for one in spec)
    return "a list" if isinstance(spec, list) else "a mapping" if isinstance(spec, dict) else _TYPE_NAMES[spec]


def _received(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
