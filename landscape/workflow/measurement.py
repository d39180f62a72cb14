"""The protocol of a measurement: what identifies it, what it costs, and how it is run and resumed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from landscape.analysis.objective.losses import Metric
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.results import Result
from landscape.storage.result_file import ResultFile
from landscape.workflow.names import resolve_name
from landscape.workflow.reporter import Reporter

R = TypeVar("R", bound=Result)


class Source(Protocol):
    """A model with weights and data; the subject of measurements."""

    @property
    def label(self) -> str:
        """Name of the weights; results are stored as `<label>/<name>`."""

    @property
    def code(self) -> Mapping[str, str]:
        """Fingerprints of the user's own source files."""

    def identity(self) -> dict[str, Any]:
        """Return the identity of weights, data and loss, JSON-able."""

    def attributes(self) -> dict[str, Any]:
        """Return the provenance of weights and data, JSON-able."""

    def calibration(self, batchnorm: BatchNormMode) -> dict[str, Any]:
        """Return the examples that BatchNorm is recalibrated on, in words; empty for other modes."""

    def reproduce(self) -> dict[str, Any] | None:
        """Measure the recorded loss of the weights again; None if none is recorded."""

    def objective(
        self,
        *,
        first_split: bool = False,
        every_example: bool = False,
        batchnorm: BatchNormMode | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> Objective:
        """Return the loss as a function of the weights.

        Args:
            first_split: on the first split alone, as derivatives are.
            every_example: on all examples instead of the sample.
            batchnorm: mode of the statistics; the source's default by default.
            metrics: further functions like the loss, by name.
        """


class Keep(Protocol):
    """Stores the parts of a running measurement, so that a kill loses none of them."""

    @property
    def reporter(self) -> Reporter:
        """Receives messages."""

    def begin(self, result: Result) -> None:
        """Store a table without (all of) its points, to be filled by `append`."""

    def append(self, rows: NDArray[Any]) -> None:
        """Store the rows of one finished point."""

    def put(self, result: Result) -> None:
        """Store a part of a result, replacing the part stored before."""

    def advance(self, steps: int = 1, note: str = "", *, total: int | None = None) -> None:
        """Report progress."""


@dataclass(frozen=True)
class Measurement(ABC, Generic[R]):
    """One measurement; a subclass is a frozen dataclass of its options, and one line in the public interface.

    >>> import landscape
    >>> isinstance(landscape.Surface(points=51), landscape.Measurement)
    True
    """

    @property
    @abstractmethod
    def kind(self) -> type[R]:
        """Class of the result."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the result if none is given."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings that two runs of the same measurement share, JSON-able."""

    @abstractmethod
    def objective(self, source: Source) -> Objective:
        """Return the objective to measure."""

    @abstractmethod
    def run(self, objective: Objective, stored: R | None, keep: Keep) -> R:
        """Measure what `stored` lacks; `keep` stores each part as it is finished."""

    def label(self, source: Source) -> str:
        """Return the first part of the result's name."""
        return source.label

    def identity(self, source: Source) -> dict[str, Any]:
        """Return the settings that two runs of the same measurement on a source share, JSON-able."""
        return {**source.identity(), **self.settings()}

    def cost(self, objective: Objective, stored: R | None) -> str:
        """Return the estimated work, in words; empty if it is not worth a line."""
        return ""

    def total_steps(self, objective: Objective, stored: R | None) -> int | None:
        """Return the number of steps that progress counts; None if it is not known."""
        return None

    def resolve(
        self, file: ResultFile, wanted: str, identity: Mapping[str, Any], *, is_given: bool, overwrite: bool
    ) -> tuple[str, R | None]:
        """Return the name of the result and what an earlier run stored under it; see `resolve_name`."""
        return resolve_name(file, wanted, identity, self.kind, is_given=is_given, overwrite=overwrite)

    def share(self, runs: Sequence[Run[R]], file: ResultFile, reporter: Reporter) -> Sequence[Run[R]]:
        """Return the runs of one command with whatever settings they must have in common."""
        return runs

    def is_complete(self, stored: R) -> bool:
        """Return True if a stored result lacks nothing."""
        return stored.finished

    def attributes(self, source: Source) -> dict[str, Any]:
        """Return further provenance of the result."""
        return {}

    def sources(self, source: Source) -> Sequence[Source]:
        """Return the sources whose recorded loss is reproduced before the measurement."""
        return [source]

    def reuse(self, run: Run[R], others: Mapping[str, Result], reporter: Reporter) -> R | None:
        """Return a partial result made of finished parts of other results of the same weights; None for none."""
        return None


@dataclass
class Run(Generic[R]):
    """One measurement of one source, its name resolved and its stored part read."""

    measurement: Measurement[R]
    source: Source
    key: str  # of the result in the file
    stored: R | None  # as stored: complete, partial, or absent
    identity: Mapping[str, Any]  # of source and measurement
    finished: bool = False
    _objective: Objective | None = None

    @property
    def objective(self) -> Objective:
        """The objective to measure, built on first use."""
        if self._objective is None:
            self._objective = self.measurement.objective(self.source)
        return self._objective
