"""Vectors kept in a folder beside the results: those that no recipe gives again to the bit, or not cheaply."""

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
from landscape.cli.terminal import console
from landscape.storage.atomic_write import remove_temporaries, write_atomically


@dataclass(frozen=True)
class Keep:
    """A safetensors file of vectors made with certain settings, which are in its name and inside."""

    path: Path
    settings: str

    def read(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Return its tensors and metadata; None where it is not there, of other settings, or unreadable."""
        remove_temporaries(self.path)  # whoever reads holds the lock of the results
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dictionary
        except (SafetensorError, OSError) as error:
            console.warn(f"{self.path} cannot be read ({error}); what it held is made again")
            return None
        return (tensors, metadata) if metadata.get("settings") == self.settings else None

    def write(self, tensors: Mapping[str, Tensor], **metadata: str) -> None:
        """Replace it whole."""
        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        image = save(ready, metadata={"settings": self.settings, **metadata})
        write_atomically(self.path, lambda file: file.write(image))


def keep_beside(results: Path, name: str, settings: Mapping[str, Any]) -> Keep:
    """Return the file of this name and these settings in the folder of vectors beside a file of results."""
    digest = hashlib.sha256(_text(settings).encode()).hexdigest()
    return vectors_file(results, f"{name}-{digest[:8]}", settings)


def vectors_file(results: Path, name: str, settings: Mapping[str, Any]) -> Keep:
    """Return the file of just this name in that folder, for people to name again; other settings replace it."""
    return Keep(results.parent / f"{results.stem}-vectors" / f"{name}.safetensors", _text(settings))


def kept_directions(keep: Keep, like: Weights, make: Callable[[], Sequence[Direction]]) -> dict[str, Direction]:
    """Return directions by name: those in the file, or else those that `make` makes now, which are written to it.

    Args:
        keep: the file.
        like: the parameters, for type and device.
        make: makes them.
    """
    found = keep.read()
    if found is not None:
        tensors, metadata = found
        return {
            name: Direction(name, {p: tensors[f"{name}/{p}"].to(w) for p, w in like.items()}, recipe)
            for name, recipe in json.loads(metadata["recipes"]).items()
        }
    made = {direction.name: direction for direction in make()}
    recipes = {name: console.jsonable(direction.recipe) for name, direction in made.items()}
    tensors = {f"{name}/{p}": part for name, direction in made.items() for p, part in direction.vector.items()}
    keep.write(tensors, recipes=json.dumps(recipes))
    console.say(f"kept {', '.join(made)} in {keep.path}")
    return made


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(console.jsonable(settings), sort_keys=True)
