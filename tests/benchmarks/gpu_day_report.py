"""Numbers of the GPU day, read from the files that its steps wrote, and the summary with the goals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

KINDS = {"surface": "surface", "eigenvalues": "spectrum", "sharpness": "sharpness", "convexity": "convexity"}
FILES = {
    "floors": "floors.json",
    "profile": "profile.json",
    "training peers": "training_speed.json",
    "surface peers": "surface_peers.json",
    "curvature peers": "curvature_peers.json",
}

GOALS: list[tuple[str, str, str, Callable[[dict[str, Any]], float | None], float, bool]] = [
    # what, step, unit, number, goal, whether more is better
    ("Adam's step, images", "training peers", "per second", lambda n: _rate(n, "landscape, Adam"), 150_000, True),
    ("SAM's step / Adam's", "training peers", "times", lambda n: _ratio(n), 2.05, False),
    ("Adam, 200 epochs", "pair", "s", lambda n: n.get("adam", {}).get("seconds"), 60, False),
    ("surface, 51 × 51, exact", "surface", "s", lambda n: _largest(n, "seconds"), 120, False),
    ("a product, all images", "profile", "s", lambda n: n.get("product", {}).get("seconds"), 1, False),
    ("device busy in surface passes", "profile", "share", lambda n: n.get("surface pass", {}).get("busy"), 0.95, True),
]


def read_records(out: Path) -> dict[str, dict[str, Any]]:
    """Return the last record of each step."""
    path = out / "results.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {record["step"]: record for record in records}


def numbers(step: str, out: Path) -> dict[str, Any]:
    """Return what a step found so far."""
    if step == "tests":
        return _tests(out / "tests.xml")
    if step in ("pair", "seeds"):
        return _checkpoints(out / "pair", seed_zero=step == "pair")
    if step in KINDS:
        return _results(out / "gpu-day.h5", KINDS[step])
    path = out / FILES[step]
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _tests(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    suite = next(ElementTree.parse(path).getroot().iter("testsuite"))
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    broken = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return {**counts, "broken": broken}


def _checkpoints(folder: Path, *, seed_zero: bool) -> dict[str, Any]:
    import landscape

    found = {}
    for path in sorted(folder.glob("*.pt")):
        checkpoint = landscape.load_checkpoint(path)
        training = checkpoint.training
        if (training["seed"] == 0) != seed_zero:
            continue
        name = training["recipe"] if seed_zero else f"{training['recipe']}-s{training['seed']}"
        found[name] = {
            "seconds": checkpoint.provenance["seconds"],
            "epochs": training["epochs"],
            "precision": training["precision"],
            "compile": training["compile"],
            **checkpoint.final,
        }
    return found


def _results(path: Path, kind: str) -> dict[str, Any]:
    import landscape

    if not path.exists() and not list(path.parent.glob(f"{path.name}*")):
        return {}
    found: dict[str, Any] = {}
    for name, result in landscape.load(path).items():
        if result.kind != kind:
            continue
        attributes = result.attributes
        keys = ("seconds", "precision", "precision_error", "batch_size", "examples", "trace")
        entry = {key: attributes[key] for key in keys if key in attributes}
        if kind == "spectrum":
            entry |= {
                "eigenvalues": result.eigenvalues.tolist(),
                "bounds": result.bounds.tolist(),
                "products": result.products,
            }
        if kind == "sharpness":
            entry["measures"] = {m.label: [m.value, m.stderr, m.diagnostics.get("seconds")] for m in result.measures}
        found[name] = {"finished": result.finished, **entry}
    return found


def _rate(found: dict[str, Any], name: str) -> float | None:
    seconds = found.get("seconds", {}).get(name)
    return found["batch_size"] / seconds if seconds else None


def _ratio(found: dict[str, Any]) -> float | None:
    seconds = found.get("seconds", {})
    both = seconds.get("landscape, SAM"), seconds.get("landscape, Adam")
    return both[0] / both[1] if all(both) else None


def _largest(found: dict[str, Any], key: str) -> float | None:
    values = [entry[key] for entry in found.values() if entry.get("finished") and key in entry]
    return max(values, default=None)


def write_summary(out: Path, steps: Sequence[str], *, judged: bool) -> str:
    """Write summary.md, and return it; goals are `judged` on a GPU at full size."""
    records = read_records(out)
    lines = ["| step | status | seconds |", "| --- | --- | --- |"]
    for step in steps:
        record = records.get(step, {"status": "not started", "seconds": 0.0})
        lines.append(f"| {step} | {record['status']} | {record['seconds']:.1f} |")
    lines += ["", "| goal | aim | found | |", "| --- | --- | --- | --- |"]
    for what, step, unit, number, aim, more in GOALS:
        value = number(records[step].get("numbers", {})) if step in records else None
        sign, aimed = ("at least" if more else "at most"), f"{aim:,g} {unit}"
        if value is None:
            lines.append(f"| {what} | {sign} {aimed} | | not measured |")
        else:
            verdict = "reached" if (value >= aim if more else value <= aim) else "missed"
            verdict = verdict if judged else "not judged"
            lines.append(f"| {what} | {sign} {aimed} | {value:,.4g} | {verdict} |")
    tests = records.get("tests", {}).get("numbers", {})
    if tests:
        broken = tests["failures"] + tests["errors"]
        lines += ["", f"tests: {tests['tests']} in all, {broken} broken, {tests['skipped']} skipped"]
        lines += [f"- {name}" for name in tests["broken"]]
    text = "\n".join(lines) + "\n"
    (out / "summary.md").write_text(text)
    return text
