"""The table of training runs over epochs, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape.cli.terminal import console
from landscape.results import DynamicsResult
from landscape.stats import number_format

SHOWN = 12  # snapshots in the table, evenly spaced
_COLUMNS = {  # of the table, where a run has them; sharpness measures follow
    "lambda_max": "λ_max",
    "preconditioned_lambda_max": "preconditioned λ_max",
    "edge": "edge",
    "gradient_norm": "gradient norm",
    "train_loss": "train loss",
    "generalization_gap": "test − train loss",
}
_OTHERS = ("lambda_", "learning_rate", "products", "accuracy", "loss")  # quantities that the file and the page hold


def summary(result: DynamicsResult) -> dict[str, Any]:
    """Return a run's quantities with their errors, and its provenance, JSON-able."""
    return {
        "position": result.position,
        "quantities": {
            name: {"values": result.series(name), "errors": result.error(name)} for name in result.quantities
        },
        "attributes": dict(result.attributes),
    }


def print_dynamics(runs: Mapping[str, DynamicsResult]) -> None:
    """Print the main quantities of each run at up to a dozen of its snapshots, with their errors."""
    for key, run in runs.items():
        others = [name for name in run.quantities if name not in _COLUMNS and not _is_other(name)]
        columns = {name: title for name, title in _COLUMNS.items() if name in run.quantities}
        columns |= {name: name for name in others}
        shown = np.unique(np.linspace(0, len(run.position) - 1, SHOWN).round().astype(int))
        rows = [
            [
                number_format.setting(run.position[i]),
                *(number_format.uncertain(float(run.series(n)[i]), float(run.error(n)[i])) for n in columns),
            ]
            for i in shown
        ]
        unit = str(run.attributes.get("position", "epoch"))
        console.print_table(f"{key}: during training", [unit, *columns.values()], rows)
        rule = run.attributes.get("step_rule")
        if rule and "edge" in run.quantities:
            which = "Adam's preconditioned Hessian" if rule["method"] == "adam" else "the Hessian"
            console.say(f"  edge: {rule['formula']}, above which λ_max of {which} makes the optimizer unstable")
        for message in run.attributes.get("warnings", ()):
            console.warn(f"{key}: {message}")


def _is_other(name: str) -> bool:
    return name.startswith(_OTHERS) or name.endswith(_OTHERS)
