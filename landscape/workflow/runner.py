"""The one path of every measurement: resolve its name, read what is stored, refuse a mismatch, measure, store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.execution import Workers
from landscape.results import Result, Sampled, with_attributes
from landscape.storage.hdf5 import check_registered
from landscape.storage.result_file import ResultFile
from landscape.workflow.fingerprint import changed, stamp
from landscape.workflow.measurement import Measurement, R, Run, Source
from landscape.workflow.plan import report_plan
from landscape.workflow.reporter import Advance, Quiet, Reporter

T = TypeVar("T", bound=Result)


class Runner:
    """Runs measurements and stores them in one analysis file.

    Args:
        file: open for writing.
        reporter: receives messages and progress.
        overwrite: replace finished results of the same settings; unfinished ones are resumed all the same.
        command: recorded with each result, to repeat it.
        plan_for: workers to report a plan for, instead of measuring.
    """

    def __init__(
        self,
        file: ResultFile,
        *,
        reporter: Reporter | None = None,
        overwrite: bool = False,
        command: str | None = None,
        plan_for: Workers | None = None,
    ) -> None:
        self.file = file
        self._plan_for = plan_for
        self.reporter = reporter or Quiet()
        self.command = command
        self.overwrite = overwrite

    def measure(self, measurement: Measurement[R], source: Source, *, name: str | None = None) -> tuple[str, R]:
        """Return the name and the result of a measurement, computed as far as the file lacks it.

        Args:
            measurement: what to measure.
            source: model, weights and data.
            name: of the result; the measurement's by default. Other settings under the default name get a new one
                (plane, plane-2, ...); under a given name they are refused.

        Raises:
            LandscapeError: for a stored result of other settings under the given name.
        """
        return self.measure_all([(measurement, source, name)])[0]

    def measure_all(self, wanted: Sequence[tuple[Measurement[R], Source, str | None]]) -> list[tuple[str, R]]:
        """Return name and result of several measurements of one kind, which share settings such as the precision."""
        return self.run_all([self.prepare(measurement, source, name=name) for measurement, source, name in wanted])

    def prepare(self, measurement: Measurement[R], source: Source, *, name: str | None = None) -> Run[R]:
        """Return the run of a measurement: its name resolved, the stored part read and confirmed.

        Raises:
            LandscapeError: for a stored result of other settings, or of another model, loss or data; for a kind of
                result that files do not know.
        """
        check_registered(measurement.kind)
        identity = measurement.identity(source)
        label = measurement.label(source)
        wanted = f"{label}/{name or measurement.name}"
        key, stored = measurement.resolve(
            self.file, wanted, identity, is_given=name is not None, overwrite=self.overwrite
        )
        run = Run(measurement, source, key, stored, identity)
        run.stored = self._confirmed(run)
        if run.stored is not None and measurement.is_complete(run.stored):
            run.finished = True
            self.reporter.say(f"{key} is already in {self.file.path} with these settings")
            for warning in run.stored.attributes.get("warnings", ()):
                self.reporter.warn(f"{key}: {warning}")
        elif run.stored is None and not self.overwrite:
            run.stored = measurement.reuse(run, self._others(run, label), self.reporter)
        return run

    def run_all(self, runs: Sequence[Run[R]]) -> list[tuple[str, R]]:
        """Measure what prepared runs lack, and return the names and the stored results."""
        if runs:
            runs = runs[0].measurement.share(runs, self.file, self.reporter)
        if self._plan_for is not None:
            report_plan(runs, self._plan_for, self.reporter)
        return [(run.key, self._run(run)) for run in runs]

    def _confirmed(self, run: Run[R]) -> R | None:
        """Return the stored part of a run if it is still that of the model, loss and data as they are now.

        Raises:
            LandscapeError: if it is not; the message names the difference.
        """
        if run.stored is None or (reason := changed(run.stored, run.objective, run.source.code)) is None:
            return run.stored
        if self.overwrite:
            return None
        raise LandscapeError(
            f"{run.key} in {self.file.path}: {reason}: the model, loss or data changed since; "
            "use --overwrite or another --name"
        )

    def _others(self, run: Run[R], label: str) -> dict[str, Result]:
        """Return the other results of the same weights that were measured with the same code."""
        return {
            key: result
            for key, result in self.file.results.items()
            if key != run.key
            and key.rpartition("/")[0] == label
            and "settings" in result.attributes
            and changed(result, run.objective, run.source.code) is None
        }

    def _run(self, run: Run[R]) -> R:
        """Measure what a prepared run lacks, and return the stored result."""
        if run.finished:
            assert run.stored is not None
            return run.stored
        measurement, source = run.measurement, run.source
        references = [each.reproduce() for each in measurement.sources(source)]  # first: a warning may stop the user
        provenance = {
            **source.attributes(),
            **measurement.attributes(source),
            **stamp(run.objective, source.code),
            "reference": references[0] if references else None,
            "settings": dict(run.identity),
            **({"command": self.command} if self.command else {}),
        }
        cost = measurement.cost(run.objective, run.stored)
        if cost:
            self.reporter.say(f"{run.key}: {cost}")
        with self.reporter.progress(run.key, measurement.total_steps(run.objective, run.stored)) as advance:
            keep = _FileKeep(self.file, run.key, provenance, self.reporter, advance)
            threads = torch.get_num_threads()
            try:
                result = measurement.run(run.objective, run.stored, keep)
            finally:
                torch.set_num_threads(threads)  # a resumed run takes those of the first
        complete = dataclasses.replace(with_attributes(result, **provenance), finished=True)
        self.file.put(run.key, complete)
        return complete


class _FileKeep:
    """Stores parts of a result in the analysis file, with their provenance."""

    def __init__(
        self, file: ResultFile, key: str, provenance: Mapping[str, Any], reporter: Reporter, advance: Advance
    ) -> None:
        self._file, self._key, self._provenance = file, key, provenance
        self.reporter, self._advance = reporter, advance

    def begin(self, result: Result) -> None:
        """Store the axes and settings of a table, and open its journal."""
        assert isinstance(result, Sampled)
        self._file.begin(self._key, self._unfinished(result))

    def append(self, rows: NDArray[Any]) -> None:
        """Append the rows of one point to the journal."""
        self._file.append(rows)

    def put(self, result: Result) -> None:
        """Store a part of the result."""
        self._file.put(self._key, self._unfinished(result))

    def _unfinished(self, result: T) -> T:
        return dataclasses.replace(with_attributes(result, **self._provenance), finished=False)

    def advance(self, steps: int = 1, note: str = "", *, total: int | None = None) -> None:
        """Report progress."""
        if total is None:
            self._advance(steps, note)
        else:
            self._advance(steps, note, total=total)
