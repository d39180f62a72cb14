"""Validation of the file of an unfinished run against the state of a new run with the same settings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.models.weight_files import read_torch_file

FORMAT = "landscape-training-state"


def read_state(path: Path) -> dict[str, Any]:
    """Return the content of the file of an unfinished run, after a check of its format and identity.

    Raises:
        LandscapeError: for a damaged or foreign file.
    """
    content = read_torch_file(path, expected="the state of an unfinished run")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise LandscapeError(f"{path} is not the state of an unfinished run; move it away, or give another --out")
    identity = content.get("identity")
    if not isinstance(identity, dict) or not _is_json(identity):
        StateSchema(path, ()).refuse("identity", "settings by name", identity)
    return content


@dataclass(frozen=True)
class StateSchema:
    """Checks of values in the file of an unfinished run.

    Attributes:
        path: the file.
        shapes: shapes of the parameters, in the order of the optimizer.
    """

    path: Path
    shapes: Sequence[torch.Size]

    def refuse(self, field: str, expected: str, value: object) -> NoReturn:
        """Raise a LandscapeError that names the field, the expected and the actual value."""
        raise LandscapeError(
            f"{self.path} is damaged: expected {field} as {expected}, got {_described(value)}; "
            "move it away, or --overwrite it"
        )

    def count(self, field: str, value: object, limit: float = math.inf) -> None:
        """Check a whole number from 0 to `limit`."""
        if type(value) is not int or not 0 <= value <= limit:
            self.refuse(field, f"a whole number from 0 to {limit:g}", value)

    def numbers(self, field: str, value: object, length: int) -> None:
        """Check a list of `length` finite numbers."""
        if not isinstance(value, list) or len(value) != length or not all(map(_is_finite, value)):
            self.refuse(field, f"a list of {length} finite numbers", value)

    def keys(self, field: str, value: object, expected: Sequence[object]) -> Mapping[Any, Any]:
        """Return `value` if it is a mapping with exactly the expected keys."""
        if not isinstance(value, Mapping):
            self.refuse(field, "a mapping", value)
        for key in [*expected, *value]:
            if key not in value:
                self.refuse(f"{field}.{key}", "an entry", None)
            if key not in expected:
                self.refuse(field, f"a mapping without {key!r}", value)
        return value

    def like(self, field: str, value: object, template: object) -> None:
        """Check that a value is structured like that of a new run: types, keys, shapes of tensors, finite numbers.

        An empty mapping in the new run is one by parameter: of tensors of its shape, of single numbers, or of mappings
        of these.
        """
        if isinstance(template, Tensor):
            self.tensor(field, value, template.shape, template.dtype)
        elif isinstance(template, Mapping) and not template:
            self._by_parameter(field, value)
        elif isinstance(template, Mapping):
            entries = self.keys(field, value, list(template))
            for key, entry in template.items():
                self.like(f"{field}.{key}", entries[key], entry)
        elif isinstance(template, list | tuple):
            if not isinstance(value, list | tuple) or len(value) != len(template):
                self.refuse(field, f"a list of {len(template)}", value)
            if all(type(entry) is int for entry in template) and list(value) != list(template):  # numbers of parameters
                self.refuse(field, f"{_shortened(template)}", value)
            for index, (entry, expected) in enumerate(zip(value, template, strict=True)):
                self.like(f"{field}[{index}]", entry, expected)
        elif isinstance(template, bool | str):
            if type(value) is not type(template):
                self.refuse(field, type(template).__name__, value)
        elif isinstance(template, int | float):
            if not _is_finite(value) and not (math.isinf(template) and value == template):
                self.refuse(field, "a finite number", value)
        elif value is not None and not isinstance(value, bool | int | float):  # an unset option
            self.refuse(field, "nothing", value)

    def tensor(self, field: str, value: object, shape: torch.Size, dtype: torch.dtype) -> None:
        """Check the shape and type of a tensor, not its values: a diverged run is reported by the training loop."""
        if not isinstance(value, Tensor) or value.shape != shape or value.dtype != dtype:
            self.refuse(field, f"a tensor {tuple(shape)} of {dtype}", value)

    def _by_parameter(self, field: str, value: object) -> None:
        if not isinstance(value, Mapping):
            self.refuse(field, "a mapping by parameter", value)
        for index, entry in value.items():
            if type(index) is not int or not 0 <= index < len(self.shapes):
                self.refuse(field, f"a mapping by parameter, 0 to {len(self.shapes) - 1}", value)
            for name, part in entry.items() if isinstance(entry, Mapping) else [("", entry)]:
                path = f"{field}.{index}" + (f".{name}" if name else "")
                if isinstance(part, Tensor):
                    single = part.numel() == 1
                    self.tensor(path, part, part.shape if single else self.shapes[index], part.dtype)
                elif part is not None and not _is_finite(part):
                    self.refuse(path, f"a tensor {tuple(self.shapes[index])}", part)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _described(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        number = f" that holds {value.item():g}" if value.numel() == 1 else ""
        return f"a tensor {tuple(value.shape)} of {value.dtype}{number}"
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(str, list(value)[:3])) or 'nothing'}"
    return f"{type(value).__name__} {_shortened(value)}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
