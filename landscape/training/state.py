"""The schema of an unfinished run's state: a file is compared with the state of a run that is about to begin."""

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
    """Return what the file of an unfinished run holds, of which format and identity are checked.

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
        shapes: of the parameters, in the order of the optimizer.
    """

    path: Path
    shapes: Sequence[torch.Size]

    def refuse(self, field: str, expected: str, came: object) -> NoReturn:
        """Raise a LandscapeError that names the field, what was expected and what came."""
        raise LandscapeError(
            f"{self.path} is damaged: expected {field} as {expected}, got {_described(came)}; "
            "move it away, or --overwrite it"
        )

    def count(self, field: str, value: object, most: float = math.inf) -> None:
        """Check a whole number from 0 to `most`."""
        if type(value) is not int or not 0 <= value <= most:
            self.refuse(field, f"a whole number from 0 to {most:g}", value)

    def numbers(self, field: str, value: object, length: int) -> None:
        """Check a list of finite numbers."""
        if not isinstance(value, list) or len(value) != length or not all(map(_is_finite, value)):
            self.refuse(field, f"a list of {length} finite numbers", value)

    def keys(self, field: str, value: object, expected: Sequence[object]) -> Mapping[Any, Any]:
        """Return a mapping that has exactly the expected keys."""
        if not isinstance(value, Mapping):
            self.refuse(field, "a mapping", value)
        for key in [*expected, *value]:
            if key not in value:
                self.refuse(f"{field}.{key}", "an entry", None)
            if key not in expected:
                self.refuse(field, f"a mapping without {key!r}", value)
        return value

    def like(self, field: str, value: object, own: object) -> None:
        """Check that a value is built as a beginning run's own: types, keys, shapes of tensors, finite numbers.

        A mapping that is still empty there is one by parameter: of tensors of its shape, of single numbers, or of
        mappings of these.
        """
        if isinstance(own, Tensor):
            self.tensor(field, value, own.shape, own.dtype)
        elif isinstance(own, Mapping) and not own:
            self._by_parameter(field, value)
        elif isinstance(own, Mapping):
            entries = self.keys(field, value, list(own))
            for key, entry in own.items():
                self.like(f"{field}.{key}", entries[key], entry)
        elif isinstance(own, list | tuple):
            if not isinstance(value, list | tuple) or len(value) != len(own):
                self.refuse(field, f"a list of {len(own)}", value)
            if all(type(entry) is int for entry in own) and list(value) != list(own):  # numbers of parameters
                self.refuse(field, f"{_shortened(own)}", value)
            for index, (entry, mine) in enumerate(zip(value, own, strict=True)):
                self.like(f"{field}[{index}]", entry, mine)
        elif isinstance(own, bool | str):
            if type(value) is not type(own):
                self.refuse(field, type(own).__name__, value)
        elif isinstance(own, int | float):
            if not _is_finite(value) and not (math.isinf(own) and value == own):
                self.refuse(field, "a finite number", value)
        elif value is not None and not isinstance(value, bool | int | float):  # an option that is left open
            self.refuse(field, "nothing", value)

    def tensor(self, field: str, value: object, shape: torch.Size, dtype: torch.dtype) -> None:
        """Check a tensor's shape and type, not its numbers: a run that diverges says so itself."""
        if not isinstance(value, Tensor) or value.shape != shape or value.dtype != dtype:
            self.refuse(field, f"a tensor {tuple(shape)} of {dtype}", value)

    def _by_parameter(self, field: str, value: object) -> None:
        if not isinstance(value, Mapping):
            self.refuse(field, "a mapping by parameter", value)
        for index, entry in value.items():
            if type(index) is not int or not 0 <= index < len(self.shapes):
                self.refuse(field, f"a mapping by parameter, 0 to {len(self.shapes) - 1}", value)
            for name, part in entry.items() if isinstance(entry, Mapping) else [("", entry)]:
                place = f"{field}.{index}" + (f".{name}" if name else "")
                if isinstance(part, Tensor):
                    single = part.numel() == 1
                    self.tensor(place, part, part.shape if single else self.shapes[index], part.dtype)
                elif part is not None and not _is_finite(part):
                    self.refuse(place, f"a tensor {tuple(self.shapes[index])}", part)


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
