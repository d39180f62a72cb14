"""Provenance of every number: the measurement, its data and settings, its cost, and the command that repeats it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.figures.grouping.comparability import listed
from landscape.figures.grouping.notes import estimate_note
from landscape.figures.kinds.registry import kind_of
from landscape.results import Result
from landscape.stats import number_format

_BATCHNORM = {
    "fixed": "fixed: the checkpoint's running statistics everywhere",
    "recalibrated": "recalibrated: running statistics estimated again at each point",
    "batch": "batch: statistics of each batch, in a fixed composition",
}


@dataclass(frozen=True)
class Provenance:
    """The origin of one result, as terms and their descriptions."""

    key: str
    measured: str
    facts: list[tuple[str, str]]
    command: str
    attributes: str  # all of them, as indented JSON


def provenance(key: str, result: Result) -> Provenance:
    """Return the provenance of a result, without the facts that its attributes lack."""
    attributes = result.attributes
    return Provenance(
        key=key,
        measured=kind_of(result).describe(result),
        facts=[(term, fact) for term, fact in _facts(attributes) if fact],
        command=str(attributes.get("command") or ""),
        attributes=json.dumps(attributes, indent=2, ensure_ascii=False, default=str),
    )


@dataclass(frozen=True)
class Origin:
    """Provenance of one figure: facts that its results share, then those of each result."""

    took: str  # all of them together
    shared: list[tuple[str, str]]
    results: list[tuple[str, str, list[tuple[str, str]]]]  # key, what was measured, its own facts
    commands: list[str]


def origin(keys: Sequence[str], results: Mapping[str, Result]) -> Origin:
    """Return the origin of a figure that shows the results with these keys."""
    provenances = [provenance(key, results[key]) for key in keys]
    facts = [dict(one.facts) for one in provenances]
    shared = [(term, fact) for term, fact in provenances[0].facts if all(other.get(term) == fact for other in facts)]
    particular = [[pair for pair in one.facts if pair not in shared] for one in provenances]
    seconds = [results[key].attributes.get("seconds") for key in keys]
    known = [float(one) for one in seconds if isinstance(one, int | float)]
    return Origin(
        took=number_format.duration(sum(known)) if known else "",
        shared=shared,
        results=[(one.key, one.measured, facts) for one, facts in zip(provenances, particular, strict=True)],
        commands=list(dict.fromkeys(one.command for one in provenances if one.command)),
    )


def _facts(a: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    entries = [entry for entry in a.get("checkpoints") or () if isinstance(entry, Mapping)]
    hashes = [f"{e.get('label', '')} (SHA-256 {str(e['sha256'])[:12]}…)" for e in entries if e.get("sha256")]
    yield "Warnings", "; ".join(map(str, a.get("warnings") or ()))
    yield "Checkpoint", listed(hashes) or str(a.get("checkpoint") or "")
    parameters = a.get("parameters")
    yield "Model", _joined(a.get("model"), f"{parameters:,} parameters" if isinstance(parameters, int) else "")
    yield "Weights", "; ".join(map(str, a.get("weights") or ()))
    yield "Training", _pairs(a.get("training"))
    data = a.get("data") or {}
    examples = a.get("examples")
    yield "Data", _joined(data.get("name") or data.get("kind"), *(data.get("notes") or ()))
    yield "Examples", _joined(_pairs(examples), _named("subset", a.get("subset")), _named("seed", a.get("subset_seed")))
    prints = data.get("fingerprints") or {}
    yield "Fingerprint", listed([f"{split} {str(value)[:12]}…" for split, value in prints.items()])
    yield "Loss", str(a.get("loss") or "")
    directions = a.get("directions") or {}
    yield "Directions", _pairs({k: v for k, v in directions.items() if k != "hashes"})
    batchnorm, moved = a.get("batchnorm"), a.get("params")
    yield (
        "BatchNorm",
        _BATCHNORM.get(str(batchnorm), str(batchnorm or "")),
    )
    yield "Parameters", "all" if moved == "*" else str(moved or "")
    error = a.get("precision_error")
    error_note = (
        f"largest error found {number_format.number(100 * error, 2)}%" if isinstance(error, int | float) else ""
    )
    yield "Precision", _joined(a.get("precision"), error_note)
    tolerance = a.get("tolerance") if isinstance(a.get("tolerance"), int | float) else None
    yield "Solver", _joined(_named("tolerance", tolerance), _named("bound", a.get("bound")))
    yield "Estimate", estimate_note(a)
    reference = a.get("reference") or {}
    if isinstance(reference.get("reproduced"), int | float) and isinstance(reference.get("recorded"), int | float):
        agrees = "agrees" if reference.get("agrees") else "DOES NOT AGREE"
        recorded, reproduced = (number_format.number(reference[key]) for key in ("recorded", "reproduced"))
        yield "Recorded loss", f"recorded {recorded}, reproduced {reproduced}: {agrees}"
    threads = a.get("threads")
    yield (
        "Machine",
        _joined(
            a.get("device"),
            f"{threads} threads" if threads else "",
            _named("batch size", a.get("batch_size")),
            f"{a['path']} forward pass" if a.get("path") else "",
        ),
    )
    versions = (("landscape", "landscape_version"), ("torch", "torch_version"))
    yield "Software", _joined(*(_named(name, a.get(key)) for name, key in versions))
    yield "Measured at", str(a.get("created") or "").replace("T", " ").split("+")[0]
    seconds = a.get("seconds")
    yield "Took", number_format.duration(seconds) if isinstance(seconds, int | float) else ""


def _pairs(values: object) -> str:
    """Return "name value" of each entry, on one line."""
    if not isinstance(values, Mapping):
        return ""
    shown = {key: value for key, value in values.items() if isinstance(value, str | int | float) and value != ""}
    return _joined(*(_named(str(key).replace("_", " "), value) for key, value in shown.items()))


def _named(name: str, value: object) -> str:
    if value is None or value == "":
        return ""
    return f"{name} {value:.5g}" if isinstance(value, float) else f"{name} {value}"


def _joined(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)
