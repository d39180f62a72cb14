"""From --snapshots to the measurement of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from landscape.analysis.planes.snapshots import every_nth
from landscape.analysis.sharpness import SharpnessMeasure
from landscape.cli.options.analysis import AnalysisOptions, derivative_mode
from landscape.cli.options.snapshots import SnapshotOptions
from landscape.cli.requests.session import Session
from landscape.cli.tables.dynamics import print_dynamics, summary
from landscape.cli.terminal import console
from landscape.results import DynamicsResult
from landscape.workflow.measurements.snapshots.dynamics import Dynamics
from landscape.workflow.measurements.snapshots.step_sizes import step_sizes_of
from landscape.workflow.measurements.snapshots.trajectory import snapshots_of
from landscape.workflow.sources.loaded_model import LoadedModel


def measure_runs(
    opened: Session,
    options: AnalysisOptions,
    chosen: SnapshotOptions,
    *,
    measures: Sequence[SharpnessMeasure] = (),
    **curvature: Any,
) -> None:
    """Measure the runs that led to the checkpoints of a command, and print them.

    Args:
        opened: the command's session.
        options: of the command.
        chosen: the snapshots.
        measures: sharpness measures.
        curvature: `top`, `tolerance` and `max_products` of `Dynamics`.
    """
    results: dict[str, DynamicsResult] = {}
    for model in opened.models:
        source = chosen.snapshots[0] if chosen.snapshots else None
        snapshots = every_nth(snapshots_of(model, source), chosen.every)
        measurement = Dynamics(
            snapshots,
            measures=tuple(measures),
            steps=step_sizes_of(model, snapshots),
            batchnorm=derivative_mode(options),
            seed=options.seed,
            **curvature,
        )
        key, result = opened.runner.measure(measurement, with_test_split(model), name=options.name)
        results[key] = result
    if options.json:
        console.print_json({key: summary(result) for key, result in results.items()})
    else:
        print_dynamics(results)


def with_test_split(model: LoadedModel) -> LoadedModel:
    """Return the model with the test split measured, too, if --splits is the train split alone and there is one."""
    if model.sample.splits != ("train",) or "test" not in model.dataset.splits:
        return model
    return dataclasses.replace(model, sample=dataclasses.replace(model.sample, splits=("train", "test")))
