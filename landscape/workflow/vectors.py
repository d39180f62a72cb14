"""Vectors cached in a folder beside the results: those that are costly to recompute or not reproducible to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from landscape.analysis.objective.weights import Weights
from landscape.analysis.planes import Direction
from landscape.storage.atomic_write import remove_temporaries, write_atomically
from landscape.storage.json_values import jsonable
from landscape.workflow.reporter import Reporter


@dataclass(frozen=True)
class VectorFile:
    """A safetensors file of vectors, with the settings that they were computed with.

    Args:
        path: of the file.
        settings: as JSON.
    """

    path: Path
    settings: str

    def read(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Return tensors and metadata; None if the file is missing, unreadable, or has other settings."""
        remove_temporaries(self.path)  # the reader holds the lock of the results
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                if metadata.get("settings") != self.settings:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
        except (SafetensorError, OSError):
            return None

    def write(self, tensors: Mapping[str, Tensor], **metadata: str) -> None:
        """Replace the file whole."""
        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        image = save(ready, metadata={"settings": self.settings, **metadata})
        write_atomically(self.path, lambda file: file.write(image))


def vector_file(results: Path, name: str, settings: Mapping[str, Any], *, hashed: bool = False) -> VectorFile:
    """Return the file of this name in the folder of vectors beside an analysis file.

    Args:
        results: the analysis file.
        name: of the file, without suffix.
        settings: that the vectors are computed with.
        hashed: add a hash of the settings to the name, so that files of several settings stand side by side.
    """
    text = json.dumps(jsonable(settings), sort_keys=True)
    stem = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}" if hashed else name
    return VectorFile(results.parent / f"{results.stem}-vectors" / f"{stem}.safetensors", text)


def cached_directions(
    file: VectorFile, like: Weights, make: Callable[[], Sequence[Direction]], reporter: Reporter
) -> dict[str, Direction]:
    """Return the directions in a file by name; computed and written to it if it has none.

    Args:
        file: the cache.
        like: parameters, for type and device.
        make: computes the directions.
        reporter: receives a message.
    """
    stored = file.read()
    if stored is not None:
        tensors, metadata = stored
        return {
            name: Direction(name, {p: tensors[f"{name}/{p}"].to(w) for p, w in like.items()}, provenance)
            for name, provenance in json.loads(metadata["recipes"]).items()
        }
    directions = {direction.name: direction for direction in make()}
    provenances = {name: jsonable(direction.provenance) for name, direction in directions.items()}
    tensors = {f"{name}/{p}": part for name, each in directions.items() for p, part in each.vector.items()}
    file.write(tensors, recipes=json.dumps(provenances))
    reporter.say(f"cached {', '.join(directions)} in {file.path}")
    return directions
