"""Groups of results: lines along several directions, and runs that differ in their seed alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape.results import LineResult, Result

_CONNECTIONS = {"between": "straight line", "bezier": "curve"}  # by kind, in files of before they were stored


def connection(line: LineResult) -> str:
    """Return the form of a line from one checkpoint to another, such as "straight line"; empty for other lines."""
    directions = line.attributes.get("directions") or {}
    return str(directions.get("connection") or _CONNECTIONS.get(str(directions.get("kind")), ""))


def is_between(line: LineResult) -> bool:
    """Return True if the line runs from one checkpoint to another, straight or along a curve."""
    return bool(connection(line))


def families(results: Mapping[str, Result]) -> dict[str, dict[str, list[LineResult]]]:
    """Return the lines around checkpoints by family, then by checkpoint label; a line without one is its own.

    Those of a checkpoint that do not share their axis are not of one family, whatever they are called.

    Args:
        results: Results by "<checkpoint label>/<name>", as in a file: line-d0, line-d1, ... are the family "line".
    """
    by_family: dict[str, dict[str, list[LineResult]]] = {}
    for key, result in results.items():
        if isinstance(result, LineResult) and not is_between(result):
            label, _, name = key.rpartition("/")
            family = str(result.attributes.get("family") or name)
            apart = (f"{family}, {len(result.alpha)} points{f' ({n})' if n > 1 else ''}" for n in itertools.count(1))
            names = (
                each
                for each in itertools.chain([family], apart)
                if _alike(result, by_family.get(each, {}).get(label, []))
            )
            by_family.setdefault(next(names), {}).setdefault(label, []).append(result)
    return by_family


def _alike(line: LineResult, others: Sequence[LineResult]) -> bool:
    """Return True if a line shares axis, splits and metrics with these, as their median requires."""
    return all(
        np.array_equal(line.alpha, other.alpha) and line.splits == other.splits and line.metrics == other.metrics
        for other in others[:1]
    )


def grouped(lines: Mapping[str, LineResult | Sequence[LineResult]]) -> dict[str, list[LineResult]]:
    """Return lines by label; those of one checkpoint and family that share their axes get one label."""
    groups: dict[Any, tuple[str, list[LineResult]]] = {}
    for label, given in lines.items():
        if not isinstance(given, LineResult):
            groups[label] = (label, list(given))
            continue
        family = given.attributes.get("family")
        checkpoint = str(given.attributes.get("checkpoint") or label)
        key = (checkpoint, str(family), given.alpha.tobytes(), given.splits) if family else label
        name, members = groups.setdefault(key, (checkpoint if family else label, []))
        members.append(given)
        if len(members) == 1 and family:
            groups[key] = (label, members)  # a line alone keeps the label it came with
        elif family:
            groups[key] = (checkpoint, members)
    by_label: dict[str, list[LineResult]] = {}
    for name, members in groups.values():
        unique, number = name, 2
        while unique in by_label:
            unique, number = f"{name} ({number})", number + 1
        by_label[unique] = members
    return by_label


def seeds(results: Mapping[str, Result]) -> dict[str, list[str]]:
    """Return the labels of runs that share recipe, model and data, by the recipe's name (with the model's if needed).

    Args:
        results: One result of each run by checkpoint label; a run whose recipe is not known is a group of its own.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for label, result in results.items():
        a = result.attributes
        recipe = str(a.get("recipe") or (a.get("training") or {}).get("recipe") or "")
        data = a.get("data") or {}
        key = (recipe, str(a.get("model") or ""), str(data.get("name") or data.get("kind") or ""))
        groups.setdefault(key if recipe else (label, "", ""), []).append(label)
    recipes = [recipe for recipe, _, _ in groups]
    return {
        recipe if recipes.count(recipe) == 1 else ", ".join(filter(None, (recipe, model, data))): labels
        for (recipe, model, data), labels in groups.items()
    }
