"""Sharpness measures as one measurement, resumed measure by measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.analysis.sharpness import LargestEigenvalue, SharpnessMeasure, usual_measures
from landscape.analysis.sharpness.cost import cost_of, measured_rates
from landscape.analysis.sharpness.measure import distinct, iter_measures
from landscape.analysis.sharpness.protocol import StoredMeasure
from landscape.analysis.sharpness.task import SharpnessTask
from landscape.errors import LandscapeError
from landscape.execution import Workers, count_workers, threads_of
from landscape.results import MeasureResult, Result, SharpnessResult
from landscape.stats.number_format import duration
from landscape.storage.json_values import jsonable
from landscape.storage.result_file import ResultFile
from landscape.workflow.measurement import Keep, Measurement, Run, Source
from landscape.workflow.measurements.shared_measures import SharedMeasures
from landscape.workflow.reporter import Reporter

_OWN_SETTINGS = ("measures", "splits", "data", "top", "bottom", "operator", "tolerance", "max_products")


@dataclass(frozen=True)
class Sharpness(Measurement[SharpnessResult]):
    """Sharpness of the minimum on the first split, by several measures.

    >>> import landscape
    >>> [measure.name for measure in landscape.Sharpness((landscape.SamSharpness(),)).measures]
    ['sam']

    Args:
        measures: what to measure, such as `SamSharpness(rho=0.1)`; one of each kind by default. A user's own class
            with the methods of `SharpnessMeasure` is a measure, too.
        batchnorm: mode of the BatchNorm statistics; the source's own if None.
        seed: of all random draws.
        workers: processes that share the measures of all checkpoints, or the result of `landscape.execution.open`; the
            values do not depend on them.
        shared: results that workers compute, and the number of this measurement among those of one command.
    """

    kind = SharpnessResult
    name = "sharpness"

    measures: tuple[SharpnessMeasure, ...] = field(default_factory=lambda: tuple(usual_measures()))
    batchnorm: BatchNormMode | None = None
    seed: int = 0
    workers: int | Workers = 1
    shared: tuple[SharedMeasures, int] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        distinct(self.measures)

    def settings(self) -> dict[str, Any]:
        """Return the measures with their parameters."""
        mode = {} if self.batchnorm is None else {"batchnorm": self.batchnorm}
        return {**mode, "measures": [self._recipe(measure) for measure in self.measures]}

    def objective(self, source: Source) -> Objective:
        """Return the loss on the first split."""
        return source.objective(first_split=True, batchnorm=self.batchnorm)

    def is_complete(self, stored: SharpnessResult) -> bool:
        """Return True if every measure is there."""
        return not self._missing(stored)

    def reuse(
        self, run: Run[SharpnessResult], others: Mapping[str, Result], reporter: Reporter
    ) -> SharpnessResult | None:
        """Return the measures that other results of the same loss hold, λ_max of a spectrum among them."""
        known: dict[str, MeasureResult] = {}
        for key, other in others.items():
            if not _same_loss(other, run.identity):
                continue
            by_label = _by_label(other) if isinstance(other, SharpnessResult) else {}
            for measure in self.measures:
                stored = by_label.get(measure.label)
                if stored is None and measure.label not in known and isinstance(measure, StoredMeasure):
                    stored = measure.from_stored(other, self.seed)
                    if stored is not None:
                        reporter.say(f"{run.key}: {measure.label} is taken from {key}")
                if stored is not None and self._matches(measure, stored):
                    known.setdefault(measure.label, stored)
        return SharpnessResult(self._ordered(known)) if known else None

    def share(
        self, runs: Sequence[Run[SharpnessResult]], file: ResultFile, reporter: Reporter
    ) -> Sequence[Run[SharpnessResult]]:
        """Let workers measure what all runs lack, in the order of the runs."""
        pending = [run for run in runs if not run.finished]
        if not pending or count_workers(self.workers) == 1:
            return runs
        measurements = [run.measurement for run in pending if isinstance(run.measurement, Sharpness)]
        task = SharpnessTask([run.objective for run in pending], self.seed, threads_of(self.workers))
        known = [frozenset(_by_label(run.stored) if run.stored else ()) for run in pending]
        missing = [(each.measures, labels) for each, labels in zip(measurements, known, strict=True)]
        shared = SharedMeasures(task, missing, self.workers)
        for number, run in enumerate(pending):
            run.measurement = dataclasses.replace(measurements[number], shared=(shared, number))
        return runs

    def cost(self, objective: Objective, stored: SharpnessResult | None) -> str:
        """Return the number of missing measures, and their time from one measured batch."""
        missing = self._missing(stored)
        examples = objective.data[objective.splits[0]].examples
        if not missing:
            return ""
        count = f"{len(missing)} of {len(self.measures)} measures are left to take"
        seconds = measured_rates(objective).seconds(cost_of(missing, examples)) / count_workers(self.workers)
        what = count if stored is not None else f"{len(missing)} measures"
        return f"{what} on {examples} examples: about {duration(seconds)}"

    def run(self, objective: Objective, stored: SharpnessResult | None, keep: Keep) -> SharpnessResult:
        """Return all measures; each missing one is stored as soon as it is there."""
        known = {} if stored is None else _by_label(stored)
        failures: dict[str, str] = {}
        second = any(isinstance(measure, LargestEigenvalue) for measure in self.measures)
        missing = self._missing(stored)
        warnings = warn_of_unreliable_derivatives(objective, second=second) if missing else ()
        for result in self._results(objective, frozenset(known), failures, keep):
            known[result.label] = result
            partial = self._result(objective, known, warnings)
            if "unfinished" in partial.attributes:
                keep.put(partial)
        messages = [f"{label} was not measured: {reason}" for label, reason in failures.items()]
        if not known:
            raise LandscapeError(messages[0])
        for message in messages:
            keep.reporter.warn(message)
        return self._result(objective, known, (*warnings, *messages))

    def _results(
        self, objective: Objective, known: frozenset[str], failures: dict[str, str], keep: Keep
    ) -> Iterator[MeasureResult]:
        """Yield the missing results, as they are measured here or by workers."""
        if self.shared is None:
            yield from iter_measures(
                objective,
                self.measures,
                known=known,
                seed=self.seed,
                on_step=lambda name: keep.advance(1, name),
                failures=failures,
            )
            return
        shared, number = self.shared
        torch.set_num_threads(shared.threads)  # those of the workers are recorded
        for result in shared.of(number, failures):
            keep.advance(1, result.label)
            yield result

    def _result(
        self, objective: Objective, known: Mapping[str, MeasureResult], warnings: Sequence[str]
    ) -> SharpnessResult:
        ordered = self._ordered(known)
        seconds = sum(result.diagnostics.get("seconds", 0.0) for result in ordered)
        missing = [measure.label for measure in self.measures if measure.label not in known]
        attributes: dict[str, Any] = {**describe(objective), "seed": self.seed, "seconds": seconds}
        if missing:
            attributes["unfinished"] = missing
        if warnings:
            attributes["warnings"] = list(warnings)
        return SharpnessResult(ordered, attributes)

    def _ordered(self, known: Mapping[str, MeasureResult]) -> tuple[MeasureResult, ...]:
        return tuple(known[measure.label] for measure in self.measures if measure.label in known)

    def _missing(self, stored: SharpnessResult | None) -> list[SharpnessMeasure]:
        labels = set() if stored is None else {measure.label for measure in stored.measures}
        return [measure for measure in self.measures if measure.label not in labels]

    def _recipe(self, measure: SharpnessMeasure) -> dict[str, Any]:
        return {"name": measure.name, **measure.parameters(self.seed)}

    def _matches(self, measure: SharpnessMeasure, stored: MeasureResult) -> bool:
        """Return True if a stored number was measured with the same parameters."""
        return bool(jsonable(self._recipe(measure)) == jsonable({"name": stored.name, **stored.parameters}))


def _by_label(result: SharpnessResult) -> dict[str, MeasureResult]:
    return {measure.label: measure for measure in result.measures}


def _same_loss(result: Result, identity: Mapping[str, Any]) -> bool:
    """Return True if a stored result is of the same loss on the same first split."""
    stored = result.attributes.get("settings")
    if stored is None or not {"splits", "data"} <= stored.keys():
        return False
    split = identity["splits"][0]
    if stored["splits"][0] != split or stored["data"][split] != identity["data"][split]:
        return False
    common = {name: value for name, value in stored.items() if name in identity and name not in _OWN_SETTINGS}
    return bool(jsonable(common) == {name: jsonable(identity[name]) for name in common})
