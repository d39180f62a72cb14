"""`landscape info`: the content of checkpoints and analysis files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.cli.options.analysis import Paths
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.stats import number_format
from landscape.storage.user_path import file_head, user_path


@dataclass(frozen=True)
class InfoCommand:
    """List the content of checkpoints and analysis files."""

    json: bool = False
    """Print JSON with everything but weights and grids; of several files, an object by file."""
    files: Paths = ()
    """Checkpoints (.pt), weight files, or analysis files (.h5)."""

    def run(self) -> None:
        """Print a table of each file, or JSON."""
        if not self.files:
            raise LandscapeError("expected at least one checkpoint (.pt) or analysis file (.h5)")
        described = {name: self._describe(user_path(name)) for name in self.files}
        if self.json:
            console.print_json(described if len(described) > 1 else next(iter(described.values())))

    def _describe(self, path: Path) -> dict[str, Any]:
        """Return the content of a file; print it as a table unless JSON was requested."""
        if path.suffix == ".npz":
            raise LandscapeError(f"{path} is data; expected a checkpoint (.pt) or an analysis file (.h5)")
        if path.exists() or not path.with_name(f"{path.name}.journal").exists():
            head = file_head(path, "a checkpoint (.pt) or an analysis file (.h5)")
            if not head.startswith(b"\x89HDF") and path.suffix not in (".h5", ".hdf5"):
                return self._checkpoint(path)
        return self._analysis(path)

    def _analysis(self, path: Path) -> dict[str, Any]:
        from landscape.storage.hdf5 import summary
        from landscape.storage.loading import load

        results = load(path)
        rows = []
        for name, result in results.items():
            attributes = result.attributes
            examples = ", ".join(f"{n} {split}" for split, n in (attributes.get("examples") or {}).items())
            rows.append([name, result.kind, summary(result), examples, str(attributes.get("created", ""))[:16]])
        if not self.json:
            title = f"{path.name}: {_count(len(results), 'result')}"
            console.print_table(title, ["name", "kind", "holds", "examples", "made"], rows, justify="left")
        return {
            name: {"kind": result.kind, "holds": summary(result), "attributes": dict(result.attributes)}
            for name, result in results.items()
        }

    def _checkpoint(self, path: Path) -> dict[str, Any]:
        from landscape.models.checkpoint import is_checkpoint

        facts, details = _checkpoint_facts(path) if is_checkpoint(path) else _weights_facts(path)
        if not self.json:
            rows = [[key, _text(value)] for key, value in _flat(facts)]
            console.print_table(path.name, ["", "value"], rows, justify="left")
        return {**facts, **details}


def _checkpoint_facts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts that fit into a table, and the training history, which does not."""
    from landscape.models.checkpoint import file_sha256, load_checkpoint

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
    return facts, {"history": checkpoint.history}


def _weights_facts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from landscape.models.checkpoint import file_sha256
    from landscape.models.weight_files import load_weights

    state, done = load_weights(path)
    for sentence in done:
        console.say(f"{path.name}: {sentence}")
    facts = {
        "what": "weights of another program",
        "tensors": len(state),
        "numbers": sum(tensor.numel() for tensor in state.values()),
        "sha256": file_sha256(path),
    }
    return facts, {"shapes": {name: list(tensor.shape) for name, tensor in state.items()}}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in facts.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return rows


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number_format.setting(value)
    if isinstance(value, list):
        return ", ".join(_text(entry) for entry in value)
    return "" if value is None else str(value)
