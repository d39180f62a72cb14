"""Where results go: the file's name, the result's name, and whether an earlier run is gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landscape.cli import console
from landscape.cli.options import AnalysisOptions
from landscape.cli.subjects import Subject
from landscape.errors import LandscapeError
from landscape.results import History, Result, Sampled
from landscape.store import AnalysisFile


def default_out(labels: Sequence[str]) -> Path:
    """Return results/<labels>.h5, the same for all analyses of the same checkpoints."""
    return Path("results") / f"{'+'.join(labels)[:120]}.h5"


def out_path(options: AnalysisOptions, subjects: Sequence[Subject]) -> Path:
    """Return the file that the results of a command go to."""
    return Path(options.out) if options.out else default_out([subject.label for subject in subjects])


def settings_of(subject: Subject, **more: Any) -> dict[str, Any]:
    """Return what must be equal for two runs to measure the same thing, JSON-able."""
    options = subject.options
    return {
        "checkpoint": subject.sha256,
        "data": {
            split: subject.dataset.fingerprint(split) for split in options.splits if split in subject.dataset.splits
        },
        "mean": subject.dataset.mean and list(subject.dataset.mean),
        "std": subject.dataset.std and list(subject.dataset.std),
        "splits": list(options.splits),
        "subset": options.subset,
        "loss": options.loss,
        "params": options.params,
        "seed": options.seed,
        **more,
    }


def claim(
    file: AnalysisFile, label: str, base: str, settings: Mapping[str, Any], options: AnalysisOptions
) -> tuple[str, Result | None]:
    """Return the name a result goes under, and what an earlier run with the same settings left there.

    Without --name, other settings get a new name (plane, plane-2, ...).

    Raises:
        LandscapeError: where an unfinished result, or one under the --name asked for, has other settings; it names
            the difference.
    """
    wanted = options.name or base
    key = f"{label}/{wanted}"
    if options.overwrite:
        if key in file.results:
            file.remove(key)
        return key, None
    number = 1
    while key in file.results:
        found = file.results[key]
        difference = _difference(found.attributes.get("settings", {}), settings)
        if difference is None:
            return key, found
        unfinished = isinstance(found, Sampled) and not found.complete
        if options.name is not None or unfinished:
            state = "is unfinished and" if unfinished else ""
            raise LandscapeError(
                f"{key} in {file.path} {state} has other settings: {difference}; "
                "repeat those to go on with it, give another --name, or --overwrite it"
            )
        number += 1
        key = f"{label}/{wanted}-{number}"
    return key, None


def keep_history(file: AnalysisFile, subject: Subject) -> None:
    """Store a checkpoint's training curves beside its results, once."""
    key = f"{subject.label}/history"
    history = subject.checkpoint.history if subject.checkpoint else {}
    known = file.results.get(key)
    if not history or (
        known is not None and known.attributes.get("checkpoints") == subject.attributes()["checkpoints"]
    ):
        return
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in history.items()}
    file.put(key, History(columns, {**subject.attributes(), **_provenance_of(subject)}))


def closing(file: AnalysisFile, next_step: str) -> None:
    """Say what was written and what to run next."""
    console.say(f"wrote {file.path}; next: {next_step}")


def _provenance_of(subject: Subject) -> dict[str, Any]:
    provenance = subject.checkpoint.provenance if subject.checkpoint else {}
    names = {"landscape": "landscape_version", "torch": "torch_version"}
    return {names.get(key, key): value for key, value in provenance.items()}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Return the first setting in which two runs differ, as people read it; None where there is none."""
    for key in [*new, *(key for key in old if key not in new)]:
        a, b = console.jsonable(old.get(key)), console.jsonable(new.get(key))
        if a != b:
            return f"{key} is {_short(a)} there and {_short(b)} here"
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-8:]}"
