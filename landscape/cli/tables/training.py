"""Tables of trained checkpoints: one run of each recipe, or several seeds of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from landscape.cli.terminal import console
from landscape.stats import number_format
from landscape.stats.comparison.paired_difference import accuracy_claim, paired_difference
from landscape.stats.mean import spread

if TYPE_CHECKING:
    from landscape.models.checkpoint import Checkpoint

QUANTITIES = [f"{split} {metric}" for split in ("train", "validation", "test") for metric in ("loss", "accuracy")]


def print_final(trained: Mapping[str, Checkpoint]) -> None:
    """Print the final losses and accuracies side by side."""
    rows = []
    for name in QUANTITIES:
        values = [checkpoint.final.get(name.replace(" ", "_")) for checkpoint in trained.values()]
        if any(value is not None for value in values):
            rows.append([name, *("" if v is None else _format(name, v) for v in values)])
    rows.append(["epochs", *(str(_epochs(c)) for c in trained.values())])
    rows.append(["training time", *(number_format.duration(c.provenance["seconds"]) for c in trained.values())])
    console.print_table("after training (un-augmented, float32)", ["", *trained], rows)


def print_seeds(trained: Mapping[tuple[str, int], Checkpoint]) -> None:
    """Print each recipe's mean and standard deviation over the seeds, a pair's paired difference, and the verdict."""
    recipes = list(dict.fromkeys(recipe for recipe, _ in trained))
    seeds = list(dict.fromkeys(seed for _, seed in trained))
    first, second = (recipes[0], recipes[-1])
    rows = []
    for name in [*QUANTITIES, "generalization gap"]:
        values = {r: [_value(trained[r, seed], name) for seed in seeds] for r in recipes}
        if any(value is None for column in values.values() for value in column):
            continue
        known = {r: [float(value) for value in column if value is not None] for r, column in values.items()}
        spreads = map(spread, known.values())
        row = [name, *(_format(name, one.mean, one.deviation) for one in spreads)]
        if len(recipes) > 1:
            difference = paired_difference(known[first], known[second])
            apart = number_format.change(difference.mean, difference.half, fraction="accuracy" in name)
            row.append(apart + (" (includes 0)" if difference.count > 1 and not difference.clear else ""))
        rows.append(row)
    rows.append(["epochs", *(", ".join(str(_epochs(trained[r, s])) for s in seeds) for r in recipes)])
    columns = ["", *recipes]
    if len(recipes) > 1:
        columns.append(f"{second} − {first} ± 95% interval")
        rows[-1].append("")
    title = f"after training, seeds {', '.join(map(str, seeds))}: mean ± standard deviation (un-augmented, float32)"
    console.print_table(title, columns, rows)
    if len(recipes) > 1:
        finals = [[trained[recipe, seed].final for seed in seeds] for recipe in (first, second)]
        if all("test_accuracy" in final for column in finals for final in column):
            accuracies = [[float(final["test_accuracy"]) for final in column] for column in finals]
            console.say(accuracy_claim(first, second, paired_difference(*accuracies)))


def _value(checkpoint: Checkpoint, name: str) -> float | None:
    final = checkpoint.final
    if name == "generalization gap":
        return final["test_loss"] - final["train_loss"] if "test_loss" in final else None
    return final.get(name.replace(" ", "_"))


def _epochs(checkpoint: Checkpoint) -> int:
    return int(checkpoint.training.get("epochs_taken", checkpoint.training.get("epochs", 0)))


def _format(name: str, value: float, error: float = math.nan) -> str:
    return number_format.measured(value, error, fraction="accuracy" in name)
