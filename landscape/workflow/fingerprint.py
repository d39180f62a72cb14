"""Fingerprint of a measurement: the user's code and the loss at the centre, checked before a result is reused."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import math
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch

from landscape.analysis.objective.objective import Objective
from landscape.results import Result, Sampled

_centres: WeakKeyDictionary[Objective, dict[str, dict[str, dict[str, float]]]] = WeakKeyDictionary()

CENTRE_EXAMPLES = 1000  # per split: a fixed random sample, so that a check costs a part of a pass
ROUNDING = 1e-4  # relative difference of float32 means that devices, threads and folding can make
OLD_ROUNDING = 2e-3  # the same for surfaces without a recorded centre, whose values may be in bfloat16


def stamp(objective: Objective, code: Mapping[str, str]) -> dict[str, Any]:
    """Return the attributes that `changed` compares: `centre`, and `code` if there is code of the user's own."""
    return {"centre": centre(objective), **({"code": dict(code)} if code else {})}


def changed(stored: Result, objective: Objective, code: Mapping[str, str]) -> str | None:
    """Return the difference between a stored result and the measurement as it would be now; None if there is none.

    Args:
        stored: a result of the same settings.
        objective: the loss as it is now.
        code: fingerprints of the user's own source files, see `code_fingerprints`.
    """
    recorded = stored.attributes.get("centre")
    if isinstance(recorded, Mapping):
        now = centre(objective)
        for split, metrics in recorded.items():
            for metric, old in metrics.items():
                new = now.get(split, {}).get(metric)
                if new is not None and not _agree(new["value"], old["value"], old["spread"], ROUNDING):
                    return _differs(metric, split, new["value"], old["value"])
    elif isinstance(stored, Sampled) and "loss" in stored.metrics and set(stored.splits) <= set(objective.splits):
        for split, value in _old_centre(stored).items():
            estimate = objective.evaluate(splits=(split,))[split]["loss"]
            spread = estimate.stderr * math.sqrt(estimate.n)
            if not _agree(estimate.value, value, spread, OLD_ROUNDING):
                return _differs("loss", split, estimate.value, value)
    old_code = stored.attributes.get("code", code)
    names = [name for name in sorted(code.keys() & old_code.keys()) if code[name] != old_code[name]]
    return f"the code in {', '.join(names)} is not what it was measured with" if names else None


def centre(objective: Objective) -> dict[str, dict[str, dict[str, float]]]:
    """Return {split: {metric: {"value", "spread"}}} at the origin, on a fixed part of the examples.

    `spread` is the standard deviation over the examples (NaN for batch means). Accuracy is left out: it steps where
    outputs tie.
    """
    if objective in _centres:
        return _centres[objective]
    data = {}
    for split, batches in objective.data.items():
        if objective.batchnorm == "batch":
            data[split] = batches.sample_batches(CENTRE_EXAMPLES, objective.batch_size)
        else:
            data[split] = batches if batches.examples <= CENTRE_EXAMPLES else batches.sample(CENTRE_EXAMPLES)
    devices = [objective.device] if objective.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):  # a model that is random in evaluation mode draws the same again
        torch.manual_seed(0)
        estimates = objective.variant(data=data).evaluate()
    _centres[objective] = {
        split: {
            metric: {"value": mean.value, "spread": mean.stderr * math.sqrt(mean.n)}
            for metric, mean in metrics.items()
            if metric != "accuracy"
        }
        for split, metrics in estimates.items()
    }
    return _centres[objective]


def code_fingerprints(specs: Iterable[str | None]) -> dict[str, str]:
    """Return the SHA-256 of each source file that `package.module:name` or `file.py:name` refers to, by file name.

    What these files import from their own folder is included; comments and blank lines are not.
    """
    sources: dict[Path, str] = {}
    for spec in specs:
        root = _source(spec)
        if root is not None:
            _collect(root, root.parent, sources)
    unique = len({path.name for path in sources}) == len(sources)
    return {path.name if unique else "/".join(path.parts[-2:]): digest for path, digest in sources.items()}


def _source(spec: str | None) -> Path | None:
    """Return the file behind package.module:name or file.py:name; None for other words."""
    module, _, name = (spec or "").rpartition(":")
    if not module or not all(part.isidentifier() for part in name.split(".")):
        return None
    if module.endswith(".py"):
        path = Path(module).expanduser()
        return path.resolve() if path.is_file() else None
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    try:
        module_spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    origin = Path(module_spec.origin) if module_spec is not None and module_spec.origin else None
    return origin.resolve() if origin is not None and origin.suffix == ".py" and origin.is_file() else None


def _collect(path: Path, folder: Path, sources: dict[Path, str]) -> None:
    """Add a file and, recursively, what it imports from its folder."""
    if path in sources:
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    sources[path] = hashlib.sha256(_without_comments(text).encode()).hexdigest()
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for name in _imports(tree):
        base = folder.joinpath(*name.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                _collect(candidate, folder, sources)


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names of modules that are imported anywhere in a file, relative ones as of its own folder."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level <= 1:
            if node.module:
                yield node.module
            yield from (".".join(filter(None, (node.module, alias.name))) for alias in node.names if alias.name != "*")


def _without_comments(text: str) -> str:
    """Return Python source without its comments and blank lines, so that only changes of code count."""
    try:
        tokens: Iterable[tokenize.TokenInfo] = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return text
    left_out = (tokenize.COMMENT, tokenize.NL)
    marks = {tokenize.INDENT: ">", tokenize.DEDENT: "<", tokenize.NEWLINE: "\n"}
    return " ".join(marks.get(token.type, token.string) for token in tokens if token.type not in left_out)


def _old_centre(stored: Sampled) -> dict[str, float]:
    """Return the loss by split at the centre of a surface or line that recorded no `centre`; empty if not measured."""
    points, loss = stored.points, stored.metrics.index("loss")
    rows = points[(points["alpha"] == 0) & (points["beta"] == 0) & (points["level"] <= 1) & (points["metric"] == loss)]
    return {stored.splits[int(row["split"])]: float(row["value"]) for row in rows}


def _agree(new: float, old: float, spread: float, tolerance: float) -> bool:
    if not (math.isfinite(new) and math.isfinite(old)):
        return new == old or (math.isnan(new) and math.isnan(old))
    scale = max(abs(old), spread if math.isfinite(spread) else 0.0)
    return abs(new - old) <= tolerance * scale + 1e-6


def _differs(metric: str, split: str, new: float, old: float) -> str:
    name = "loss" if metric == "loss" else f"metric {metric}"
    return f"the {name} at the centre of {split} is {new:.4g}, the file has {old:.4g}"
