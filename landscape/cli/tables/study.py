"""The table of a study."""

from __future__ import annotations

from landscape.cli.terminal import console
from landscape.results import StudyResult
from landscape.stats import number_format
from landscape.stats.comparison.matching import paired_seeds
from landscape.stats.comparison.paired_difference import paired_difference
from landscape.stats.mean import spread

ENOUGH = 10  # checkpoints below which a study is called small


def print_study(result: StudyResult) -> None:
    """Print the correlation of every measure with the gap."""
    p_values = result.attributes["p_values"]
    rows = [
        [
            label,
            number_format.number(tau),
            f"{number_format.number(low)} to {number_format.number(high)}",
            number_format.number(p_values[label]),
        ]
        for label, tau, low, high in zip(result.measures, result.tau, result.tau_low, result.tau_high, strict=True)
    ]
    count = len(result.checkpoints)
    console.print_table(
        f"rank correlation with the generalization gap over {count} checkpoints",
        ["measure", "Kendall's τ", "95 % interval", "p"],
        rows,
    )
    console.say(f"  gap: {result.attributes['gap']}; intervals: bootstrap over the checkpoints; p: of no association")
    if count < ENOUGH:
        console.warn(
            f"{count} checkpoints say little, whatever τ is: look at the interval and at p, and add checkpoints"
        )


def print_paired(result: StudyResult) -> None:
    """Print each quantity of two groups of runs and their paired difference over shared seeds, if they share two."""
    groups = list(dict.fromkeys(result.attributes["groups"]))
    if len(groups) < 2:
        return
    first, second = groups[0], groups[1]
    pairs = paired_seeds(result.attributes["groups"], result.attributes["seeds"], first, second)
    if len(pairs) < 2:
        return
    rows = []
    for name, values in _quantities(result).items():
        fraction = "accuracy" in name
        columns = [[values[index] for index in indices] for indices in zip(*pairs, strict=True)]
        apart = paired_difference(*columns)
        text = number_format.change(apart.mean, apart.half, fraction=fraction) + (
            "" if apart.clear else " (includes 0)"
        )
        spreads = [spread(column) for column in columns]
        rows.append([name, *(number_format.measured(s.mean, s.deviation, fraction=fraction) for s in spreads), text])
    seeds = ", ".join(str(result.attributes["seeds"][index]) for index, _ in pairs)
    at = "at equal train loss, " if "match" in result.attributes else ""
    title = f"{at}seeds {seeds}: mean ± standard deviation"
    console.print_table(title, ["", first, second, f"{second} − {first} ± 95% interval"], rows)


def _quantities(result: StudyResult) -> dict[str, list[float]]:
    """Return the value of every quantity for each checkpoint."""
    losses, match = result.attributes["losses"], result.attributes.get("match", {})
    accuracies = match.get("accuracies", {})
    quantities = {
        f"{split} {metric}": [by_label[label][split] for label in result.checkpoints]
        for metric, by_label in (("loss", losses), ("accuracy", accuracies))
        for split in ("train", "test")
        if all(split in by_label.get(label, {}) for label in result.checkpoints)
    }
    if "epochs" in match:
        quantities["epoch"] = [match["epochs"][label] for label in result.checkpoints]
    measures = dict(zip(result.measures, result.values.tolist(), strict=True))
    return {**quantities, "generalization gap": result.gap.tolist(), **measures}
