"""Where results go: the file's name, the result's name, and whether an earlier run is gone on with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.options.analysis import AnalysisOptions, expand, json_object
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.results import HistoryResult, Result, Sampled
from landscape.storage.analysis_file import AnalysisFile, with_attributes

R = TypeVar("R", bound=Result)

_NAMES = {  # of settings whose own names say little, for people
    "checkpoint": "the checkpoint's SHA-256",
    "other": "the second checkpoint's SHA-256",
    "data.train": "the train data's fingerprint",
    "data.test": "the test data's fingerprint",
    "alpha": "the x axis (points, from, to)",
    "beta": "the y axis (points, from, to)",
}


def default_out(labels: Sequence[str]) -> Path:
    """Return results/<labels>.h5, the same for all analyses of the same checkpoints."""
    stem = "+".join(labels).encode()[:120].decode(errors="ignore")  # a file's name has at most 255 bytes
    return Path("results") / f"{stem}.h5"


def out_path(options: AnalysisOptions, subjects: Sequence[Subject]) -> Path:
    """Return the file that the results of a command go to."""
    return expand(options.out) if options.out is not None else default_out([subject.label for subject in subjects])


def open_file(options: AnalysisOptions, subjects: Sequence[Subject]) -> AnalysisFile:
    """Return the file that the results of a command go to, to be entered; warn if it is not locked."""
    path = out_path(options, subjects)
    if options.no_lock:
        console.warn(f"{path} is written without a lock: a second command that writes to it now would lose results")
    return AnalysisFile(path, lock=not options.no_lock)


def settings_of(subject: Subject, **more: Any) -> dict[str, Any]:
    """Return what must be equal for two runs to measure the same thing, JSON-able."""
    options = subject.options
    return {
        "checkpoint": subject.sha256,
        "model": options.model and console.shortened(options.model),
        "model_args": None if options.model is None else json_object(options.model_args),
        **({} if options.weights_key is None else {"weights_key": options.weights_key}),
        "data": {split: subject.dataset.fingerprint(split) for split in options.splits},
        "mean": subject.dataset.mean and list(subject.dataset.mean),
        "std": subject.dataset.std and list(subject.dataset.std),
        "splits": list(options.splits),
        "subset": options.subset,
        "loss": console.shortened(options.loss),
        "params": options.params,
        "seed": options.seed,
        **more,
    }


def claim(
    file: AnalysisFile, label: str, base: str, settings: Mapping[str, Any], options: AnalysisOptions, kind: type[R]
) -> tuple[str, R | None]:
    """Return the name a result goes under, and what an earlier run with the same settings left there.

    Without --name, other settings get a new name (plane, plane-2, ...). With --overwrite an unfinished result of the
    same settings is still gone on with: it is what that very command left when it was stopped.

    Raises:
        LandscapeError: where an unfinished result, or one under the --name asked for, has other settings; it names
            the difference.
    """
    wanted = f"{label}/{options.name or base}"
    differences: dict[str, str] = {}
    for key in _taken(file, wanted):
        found = file.results[key]
        difference = _difference(found, settings, kind)
        if difference is not None:
            differences[key] = difference
        elif isinstance(found, kind):
            return key, None if options.overwrite and not _is_unfinished(found) else found
    if not differences or options.overwrite:
        return wanted, None
    unfinished = [key for key in differences if _is_unfinished(file.results[key])]
    refused = wanted if options.name is not None else next(iter(unfinished), None)
    if refused is not None:
        state = "is unfinished and has" if refused in unfinished else "has"
        raise LandscapeError(
            f"{refused} in {file.path} {state} other settings: {differences[refused]}; "
            "repeat those to go on with it, give another --name, or --overwrite it"
        )
    return f"{wanted}-{len(differences) + 1}", None


def alike(
    file: AnalysisFile, label: str, base: str, settings: Mapping[str, Any], name: str | None, kind: type[R]
) -> Iterator[tuple[str, R]]:
    """Yield the results of a series that differ from these settings in their axes at most."""
    for key in _taken(file, f"{label}/{name or base}"):
        found = file.results[key]
        if isinstance(found, kind) and "settings" in found.attributes:
            theirs = {**found.attributes["settings"], **{axis: settings[axis] for axis in ("alpha", "beta")}}
            if _difference(with_attributes(found, settings=theirs), settings, kind) is None:
                yield key, found


def keep_history(file: AnalysisFile, subject: Subject) -> None:
    """Store a checkpoint's training curves beside its results, once, with the next result that is written."""
    mine = subject.attributes()["checkpoints"]
    others = [
        key
        for key, result in file.results.items()
        if key.startswith(f"{subject.label}/") and result.attributes.get("checkpoints", mine) != mine
    ]
    if others:
        console.warn(f"{file.path} also holds results of other weights named {subject.label}: {', '.join(others)}")
    key = f"{subject.label}/history"
    history = subject.checkpoint.history if subject.checkpoint else {}
    if "epoch" in history and (key not in file.results or key in others):
        columns = {name: np.asarray(values, dtype=np.float64) for name, values in history.items()}
        file.stage(key, HistoryResult(columns, {**subject.attributes(), **_provenance_of(subject)}))


def deliver(
    file: AnalysisFile,
    key: str,
    result: R,
    subject: Subject,
    settings: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
) -> R:
    """Store a result of one checkpoint with where it comes from and how to repeat it, and return it so.

    `fingerprint` is that of the objective it was measured on (`fingerprint.stamp`).
    """
    complete = with_attributes(
        result,
        **subject.attributes(),
        **fingerprint,
        reference=subject.reproduce(),
        settings=dict(settings),
        command=console.recorded_command(),
    )
    file.put(key, complete)
    return complete


def closing(file: AnalysisFile) -> None:
    """Say what was written and what to run next."""
    wrote = f"wrote {file.path}; " if file.written else ""
    console.say(f"{wrote}next: landscape report {shlex.quote(str(file.path))} --open")


def _taken(file: AnalysisFile, wanted: str) -> Iterator[str]:
    """Yield the names of the series that are in use: plane, plane-2, ..."""
    key, number = wanted, 1
    while key in file.results:
        yield key
        number += 1
        key = f"{wanted}-{number}"


def _is_unfinished(result: Result) -> bool:
    return isinstance(result, Sampled) and not result.complete


def _provenance_of(subject: Subject) -> dict[str, Any]:
    provenance = subject.checkpoint.provenance if subject.checkpoint else {}
    names = {"landscape": "landscape_version", "torch": "torch_version"}
    return {names.get(key, key): value for key, value in provenance.items()}


def _difference(found: Result, settings: Mapping[str, Any], kind: type[R]) -> str | None:
    """Return the first setting in which a result differs from what is asked for; None where there is none."""
    if not isinstance(found, kind):
        return f"it is of the kind {found.kind!r}, not {kind.kind!r}"
    if "settings" not in found.attributes:
        return "it was stored by other means than this command"
    old, new = _flat(found.attributes["settings"]), _flat(settings)
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) != new.get(key):
            return f"{_NAMES.get(key, key)} is {_short(old.get(key))} there and {_short(new.get(key))} here"
    return None


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": entry for name, entry in _flat(value).items()})
        else:
            flat[key] = console.jsonable(value)
    return flat


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-8:]}"
