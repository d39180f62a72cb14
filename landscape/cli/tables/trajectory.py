"""The table of training runs on their PCA planes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from landscape.cli.terminal import console
from landscape.results import TrajectoryResult
from landscape.stats import number_format

SHOWN = 12  # snapshots in the table, evenly spaced


def print_trajectories(runs: Mapping[str, TrajectoryResult]) -> None:
    """Print where the snapshots of each run lie, and what the plane explains."""
    for key, run in runs.items():
        shown = np.unique(np.linspace(0, len(run.position) - 1, SHOWN).round().astype(int))
        columns = (run.alpha, run.beta, run.residuals, run.distances)
        rows = [
            [number_format.setting(run.position[i]), *(number_format.number(float(column[i])) for column in columns)]
            for i in shown
        ]
        name = str(run.attributes.get("position", "epoch"))
        console.print_table(
            f"{key}: in weight space", [name, "along PC 1", "along PC 2", "off the plane", "distance"], rows
        )
        first, second = run.explained[:2]
        console.say(f"{key}: the plane explains {first + second:.1%} of the variance ({first:.1%} and {second:.1%})")
