"""`landscape sharpness`: sharpness measures of checkpoints, ranked, and whether they go with generalization."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from landscape.cli.options.analysis import AnalysisOptions, derivative_mode, expect_derivatives
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.options.sharpness import SharpnessOptions, check_sharpness
from landscape.cli.options.snapshots import SnapshotOptions, check_snapshots
from landscape.cli.terminal import console
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class SharpnessCommand(AnalysisOptions, ExecutionOptions, SnapshotOptions, SharpnessOptions):
    """Measure how sharp minima are: Keskar's ε-sharpness, SAM, ASAM, worst-case and average-case sharpness, and λ_max.

    Several checkpoints are measured on the same examples with the same random numbers, and ranked with paired
    differences. The same command resumes a stopped run. With --snapshots: over the epochs of a
    run, with gradient norm, losses and generalization gap.
    """

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.cli.requests.measures import chosen_measures
        from landscape.cli.requests.session import session
        from landscape.cli.tables.sharpness import print_sharpness, summaries
        from landscape.cli.tables.study import print_paired, print_study
        from landscape.cli.tables.summary import summary
        from landscape.workflow.measurements.matching import match_runs
        from landscape.workflow.measurements.sharpness import Sharpness
        from landscape.workflow.measurements.study import check_study, conduct_study

        check_sharpness(self)
        expect_derivatives(self)
        check_snapshots(self, len(self.checkpoints))
        if self.snapshots is not None:
            self._run_over_snapshots()
            return
        measurement = Sharpness(chosen_measures(self), derivative_mode(self), self.seed)
        with session(self) as opened:
            runner, models = opened.runner, opened.models
            measurement = dataclasses.replace(measurement, workers=opened.workers)
            if self.study:
                check_study(models)
            matched = match_runs(runner, models, measurement) if self.match == "loss" else None
            if matched is None:
                measured = runner.measure_all([(measurement, model, self.name) for model in models])
                by_label = {model.label: result for model, (_, result) in zip(models, measured, strict=True)}
            else:
                by_label = dict(matched.sharpness)
            studies = {}
            if self.study:
                key, study = conduct_study(runner, models, by_label, seed=self.seed, name=self.name, matched=matched)
                studies[key] = study
            if self.json:
                console.print_json({**summaries(by_label), **{key: summary(s) for key, s in studies.items()}})
                return
            print_sharpness(by_label)
            for study in studies.values():
                print_study(study)
                print_paired(study)

    def _run_over_snapshots(self) -> None:
        from landscape.cli.requests.dynamics import measure_runs
        from landscape.cli.requests.measures import chosen_measures
        from landscape.cli.requests.session import session

        if self.study or self.match != "none":
            raise LandscapeError("--study and --match compare checkpoints; expected --snapshots without them")
        with session(self) as opened:
            measure_runs(opened, self, self, measures=chosen_measures(self), top=0)
