"""Names of results in a file: which stored result a measurement resumes, and which name a new one gets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from landscape.errors import LandscapeError
from landscape.results import Result, Sampled
from landscape.storage.json_values import jsonable
from landscape.storage.result_file import ResultFile

R = TypeVar("R", bound=Result)

_TITLES = {  # of settings whose keys say little
    "checkpoint": "the checkpoint's SHA-256",
    "other": "the second checkpoint's SHA-256",
    "data.train": "the train data's fingerprint",
    "data.test": "the test data's fingerprint",
    "alpha": "the x axis (points, from, to)",
    "beta": "the y axis (points, from, to)",
}


def resolve_name(
    file: ResultFile,
    wanted: str,
    identity: Mapping[str, Any],
    kind: type[R],
    *,
    is_given: bool,
    overwrite: bool = False,
) -> tuple[str, R | None]:
    """Return the name of a result and what an earlier run with the same settings stored under it.

    Other settings under a default name get a new one (plane, plane-2, ...). `overwrite` still resumes an unfinished
    result with identical settings.

    Args:
        file: open for writing.
        wanted: `<label>/<name>`.
        identity: settings of the new measurement.
        kind: class of its result.
        is_given: the name was chosen by the user, so that no other may be taken.
        overwrite: replace finished results.

    Raises:
        LandscapeError: if an unfinished result, or one under the given name, has other settings; the message names
            the difference.
    """
    differences: dict[str, str] = {}
    for key in series(file, wanted):
        stored = file.results[key]
        if (reason := difference(stored, identity, kind)) is not None:
            differences[key] = reason
        elif isinstance(stored, kind):
            return key, None if overwrite and not is_unfinished(stored) else stored
    if not differences or overwrite:
        return wanted, None
    unfinished = [key for key in differences if is_unfinished(file.results[key])]
    refused = wanted if is_given else next(iter(unfinished), None)
    if refused is not None:
        state = "is unfinished and has" if refused in unfinished else "has"
        raise LandscapeError(
            f"{refused} in {file.path} {state} other settings: {differences[refused]}; "
            "repeat those to resume it, choose another --name, or --overwrite it"
        )
    return f"{wanted}-{len(differences) + 1}", None


def series(file: ResultFile, wanted: str) -> Iterator[str]:
    """Yield the names of a series that are in use: plane, plane-2, ..."""
    key, number = wanted, 1
    while key in file.results:
        yield key
        number += 1
        key = f"{wanted}-{number}"


def is_unfinished(result: Result) -> bool:
    """Return True if a result lacks points or parts."""
    return not (result.complete if isinstance(result, Sampled) else result.finished)


def difference(
    stored: Result, identity: Mapping[str, Any], kind: type[Result], *, but: Collection[str] = ()
) -> str | None:
    """Return the first setting in which a stored result differs from a new measurement; None if there is none.

    Args:
        stored: a result with its settings among its attributes.
        identity: settings of the new measurement.
        kind: class of its result.
        but: settings that may differ.
    """
    if not isinstance(stored, kind):
        return f"it is of the kind {stored.kind!r}, not {kind.kind!r}"
    if "settings" not in stored.attributes:
        return "it was stored without settings"
    old, new = _flat(stored.attributes["settings"]), _flat(identity)
    for key in [*new, *(key for key in old if key not in new)]:
        if key.partition(".")[0] not in but and old.get(key) != new.get(key):
            return f"{_TITLES.get(key, key)} is {_short(old.get(key))} there and {_short(new.get(key))} here"
    return None


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": entry for name, entry in _flat(value).items()})
        else:
            flat[key] = jsonable(value)
    return flat


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}...{text[-8:]}"
