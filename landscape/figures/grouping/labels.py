"""Short checkpoint labels for images and the page: common prefixes and suffixes removed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from landscape.errors import LandscapeError
from landscape.figures.grouping.families import is_between
from landscape.results import LineResult, Result, with_attributes

Names: TypeAlias = Mapping[str, str]  # short label of each checkpoint
V = TypeVar("V")


def names_of(results: Mapping[str, Result], given: Sequence[str]) -> Names:
    """Return the short label of each checkpoint.

    Raises:
        LandscapeError: The number of given labels is not that of the checkpoints.
    """
    between = {label for label, result in _labelled(results) if isinstance(result, LineResult) and is_between(result)}
    labels = [label for label in dict.fromkeys(label for label, _ in _labelled(results)) if label not in between]
    if not given:
        return short_names(labels)
    if len(given) != len(labels):
        raise LandscapeError(f"got {len(given)} labels; expected one for each of {', '.join(labels)}")
    return dict(zip(labels, given, strict=True))


def _labelled(results: Mapping[str, Result]) -> list[tuple[str, Result]]:
    return [(key.rpartition("/")[0], result) for key, result in results.items()]


def relabelled(group: Mapping[str, V], names: Names) -> dict[str, V]:
    """Return results by short checkpoint label; unchanged if two would get the same."""
    renamed_group = {names.get(label, label): result for label, result in group.items()}
    return renamed_group if len(renamed_group) == len(group) else dict(group)


def with_short_ends(line: LineResult, names: Names) -> LineResult:
    """Return a line between checkpoints with short labels at its ends."""
    return with_attributes(line, checkpoints=_renamed(line.attributes.get("checkpoints"), names))


def shorten(results: Mapping[str, Result], labels: Sequence[str]) -> tuple[dict[str, Result], dict[str, str]]:
    """Return the results under short checkpoint labels, and the full key of each by its short one.

    Args:
        results: Results by "<checkpoint label>/<name>".
        labels: The checkpoints' labels.
    """
    names = short_names(labels)
    full: dict[str, str] = {}
    for key in results:
        label, slash, name = key.rpartition("/")
        full["..".join(names.get(end, end) for end in label.split("..")) + slash + name] = key
    if len(full) < len(results) or all(short == label for label, short in names.items()):
        return dict(results), {key: key for key in results}
    return {key: _with_short_labels(results[stored], names) for key, stored in full.items()}, full


def _with_short_labels(result: Result, names: Names) -> Result:
    a = result.attributes
    renamed: dict[str, Any] = {key: _renamed(a[key], names) for key in ("checkpoints", "marks") if a.get(key)}
    if isinstance(a.get("checkpoint"), str):
        renamed["checkpoint"] = names.get(a["checkpoint"], a["checkpoint"])
    return with_attributes(result, **renamed)


def _renamed(entries: Any, names: Names) -> list[dict[str, Any]]:
    """Return entries with short labels, those among attributes that are mappings."""
    return [
        {**entry, "label": names.get(str(entry.get("label")), entry.get("label"))}
        for entry in entries or ()
        if isinstance(entry, Mapping)
    ]


def short_names(labels: Sequence[str]) -> dict[str, str]:
    """Return each label without the words that all begin or end with.

    resnet20-cifar10-sam-s0 and resnet20-cifar10-adam-s0 become sam and adam.
    """
    split_labels = [re.split(r"(?<=[-_ ])", label) for label in labels]  # each with the dash after it
    if len(set(labels)) < 2:
        return {label: label for label in labels}
    first = _alike(split_labels)
    last = _alike([[word.rstrip("-_ ") for word in parts[first:][::-1]] for parts in split_labels])
    names = ["".join(parts[first : len(parts) - last]).strip("-_ ") for parts in split_labels]
    whole = any(not name for name in names) or len(set(names)) < len(set(labels))
    return dict(zip(labels, labels if whole else names, strict=True))


def _alike(split_labels: Sequence[Sequence[str]]) -> int:
    """Return the number of leading words that all share."""
    count = 0
    for column in zip(*split_labels, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count
