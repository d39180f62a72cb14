"""Description and CSV columns that lines, surfaces and convexity maps share."""

from __future__ import annotations

import numpy as np

from landscape.figures.grouping.comparability import listed
from landscape.figures.grouping.notes import completeness_note
from landscape.figures.kinds.result_kind import Columns
from landscape.results import Sampled, SampledPlane


def sampled_phrase(result: Sampled) -> str:
    """Return metrics, splits, grid size and ranges in one phrase: "loss on train, 51 points, α from −1 to 1"."""
    axes = [("α", result.alpha)] + ([("β", result.beta)] if isinstance(result, SampledPlane) else [])
    size = " × ".join(f"{len(axis)}" for _, axis in axes)
    ranges = ", ".join(f"{name} from {axis[0]:.4g} to {axis[-1]:.4g}" for name, axis in axes)
    phrase = f"{listed(result.metrics)} on {listed(result.splits)}, {size} points, {ranges}".replace("-", "−")
    missing = completeness_note(result)
    return f"{phrase}; {missing}" if missing else phrase


def sampled_table(result: Sampled) -> Columns:
    """Return a row for each measured number, of every level; a point that was not computed has none."""
    points = np.sort(result.points, order=["level", "metric", "split", "beta", "alpha"])
    return {
        "alpha": points["alpha"],
        "beta": points["beta"],
        "split": [result.splits[index] for index in points["split"]],
        "metric": [result.metrics[index] for index in points["metric"]],
        **{name: points[name] for name in ("value", result.error, "n", "level")},
    }
