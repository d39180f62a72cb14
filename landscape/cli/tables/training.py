"""Tables of what training came to: one run of each recipe, or several seeds of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from landscape.cli.terminal import console

if TYPE_CHECKING:
    from landscape.models.checkpoint import Checkpoint

QUANTITIES = [f"{split} {metric}" for split in ("train", "validation", "test") for metric in ("loss", "accuracy")]


def print_final(trained: Mapping[str, Checkpoint]) -> None:
    """Print the final losses and accuracies side by side."""
    rows = []
    for name in QUANTITIES:
        values = [checkpoint.final.get(name.replace(" ", "_")) for checkpoint in trained.values()]
        if any(value is not None for value in values):
            rows.append([name, *("" if v is None else _words(name, v) for v in values)])
    rows.append(["epochs", *(str(_epochs(c)) for c in trained.values())])
    rows.append(["training time", *(console.duration(c.provenance["seconds"]) for c in trained.values())])
    console.print_table("after training (un-augmented, float32)", ["", *trained], rows)


def print_seeds(trained: Mapping[tuple[str, int], Checkpoint]) -> None:
    """Print each recipe's mean and standard deviation over the seeds, a pair's paired difference, and the verdict."""
    from landscape.training.seeds import paired_difference, spread, verdict

    recipes = list(dict.fromkeys(recipe for recipe, _ in trained))
    seeds = list(dict.fromkeys(seed for _, seed in trained))
    first, second = (recipes[0], recipes[-1])
    rows = []
    for name in [*QUANTITIES, "generalization gap"]:
        values = {r: [_value(trained[r, seed], name) for seed in seeds] for r in recipes}
        if any(value is None for of in values.values() for value in of):
            continue
        known = {r: [float(value) for value in of if value is not None] for r, of in values.items()}
        spreads = map(spread, known.values())
        row = [name, *(f"{_words(name, of.mean)} ± {_words(name, of.deviation)}" for of in spreads)]
        if len(recipes) > 1:
            difference = paired_difference(known[first], known[second])
            row.append(
                f"{_words(name, difference.mean, sign=True)} "
                f"[{_words(name, difference.low, sign=True)}, {_words(name, difference.high, sign=True)}]"
            )
        rows.append(row)
    rows.append(["epochs", *(", ".join(str(_epochs(trained[r, s])) for s in seeds) for r in recipes)])
    columns = ["", *recipes]
    if len(recipes) > 1:
        columns.append(f"{first} - {second} [95 % interval]")
        rows[-1].append("")
    title = f"after training, seeds {', '.join(map(str, seeds))}: mean ± standard deviation (un-augmented, float32)"
    console.print_table(title, columns, rows)
    if len(recipes) > 1:
        finals = [[trained[recipe, seed].final for seed in seeds] for recipe in (first, second)]
        if all("test_accuracy" in final for of in finals for final in of):
            ahead, behind = ([float(final["test_accuracy"]) for final in of] for of in finals)
            console.say(verdict(first, second, paired_difference(ahead, behind)))


def _value(checkpoint: Checkpoint, name: str) -> float | None:
    final = checkpoint.final
    if name == "generalization gap":
        return final["test_loss"] - final["train_loss"] if "test_loss" in final else None
    return final.get(name.replace(" ", "_"))


def _epochs(checkpoint: Checkpoint) -> int:
    return int(checkpoint.training.get("epochs_taken", checkpoint.training.get("epochs", 0)))


def _words(name: str, value: float, *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{value:{plus}.2%}" if "accuracy" in name else f"{value:{plus}.4f}"
