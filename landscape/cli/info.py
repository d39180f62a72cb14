"""`landscape info`: what a file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from landscape.cli import console
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.results import Result


@dataclass(frozen=True)
class Info:
    """Say what a checkpoint or an analysis file holds."""

    file: Positional[Annotated[str, arg(metavar="FILE")]]
    """A checkpoint (.pt) or an analysis file (.h5)."""
    json: bool = False
    """Print all of it as JSON, but for weights and grids."""

    def run(self) -> None:
        """Print a table, or JSON."""
        path = Path(self.file)
        if not path.exists() and not path.with_name(path.name + ".journal").exists():
            raise LandscapeError(f"no such file: {path}")
        if path.is_dir():
            raise LandscapeError(f"{path} is a folder; expected a checkpoint (.pt) or an analysis file (.h5)")
        head = path.read_bytes()[:8] if path.exists() else b""
        if head.startswith(b"\x89HDF") or not head or path.suffix in (".h5", ".hdf5"):
            self._analysis(path)
        else:
            self._checkpoint(path)

    def _analysis(self, path: Path) -> None:
        from landscape.store import load

        results = load(path)
        if self.json:
            console.print_json(
                {name: {"kind": r.kind, "attributes": dict(r.attributes)} for name, r in results.items()}
            )
            return
        rows = []
        for name, result in results.items():
            attributes = result.attributes
            examples = ", ".join(f"{n} {split}" for split, n in (attributes.get("examples") or {}).items())
            rows.append([name, result.kind, _size(result), examples, str(attributes.get("created", ""))[:16]])
        console.print_table(f"{path.name}: {len(results)} results", ["name", "kind", "holds", "examples", "made"], rows)

    def _checkpoint(self, path: Path) -> None:
        from landscape.checkpoint import file_sha256, is_checkpoint, load_checkpoint
        from landscape.weight_files import load_weights

        if not is_checkpoint(path):
            state, done = load_weights(path)
            for sentence in done:
                console.say(sentence)
            numbers = sum(tensor.numel() for tensor in state.values())
            if self.json:
                console.print_json({name: list(tensor.shape) for name, tensor in state.items()})
                return
            console.say(f"{path.name}: weights of another program, {len(state)} tensors, {numbers:,} numbers")
            return
        checkpoint = load_checkpoint(path)
        facts = {
            "model": checkpoint.model,
            "model_arguments": checkpoint.model_arguments,
            "numbers": sum(tensor.numel() for tensor in checkpoint.state.values()),
            "training": checkpoint.training,
            "data": checkpoint.data,
            "final": checkpoint.final,
            "reference": checkpoint.reference,
            "provenance": checkpoint.provenance,
            "sha256": file_sha256(path),
        }
        if self.json:
            console.print_json({**facts, "history": checkpoint.history})
            return
        rows = [[key, _text(value)] for key, value in _flat(facts)]
        console.print_table(path.name, ["", "value"], rows)


def _size(result: Result) -> str:
    if result.kind in ("surface", "line"):
        points: Any = result
        shape = "x".join(str(n) for n in reversed(points.shape))
        computed = int(points.computed().sum())
        return f"{shape} points" + ("" if points.complete else f", {computed} of them computed")
    if result.kind == "spectrum":
        return f"{len(result.eigenvalues)} eigenvalues"  # type: ignore[union-attr]
    if result.kind == "sharpness":
        return f"{len(result.measures)} measures"  # type: ignore[union-attr]
    return f"{len(result.columns['epoch'])} epochs"  # type: ignore[union-attr]


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in facts.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return rows


def _text(value: Any) -> str:
    if isinstance(value, float):
        return console.number(value)
    if isinstance(value, list):
        return ", ".join(_text(entry) for entry in value)
    return "" if value is None else str(value)
