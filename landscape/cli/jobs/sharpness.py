"""The sharpness of one checkpoint: what the file has of it, what is missing, and measuring that, kept one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.analysis.sharpness import (
    AsamSharpness,
    AverageSharpness,
    Finding,
    KeskarSharpness,
    LargestEigenvalue,
    SamSharpness,
    Spec,
    WorstCaseSharpness,
)
from landscape.analysis.sharpness.cost import cost_of, measured_rates
from landscape.analysis.sharpness.keskar import Space
from landscape.analysis.sharpness.logits import Logits
from landscape.analysis.sharpness.measure import findings, gathered, with_evidence
from landscape.cli.commands.sharpness import Sharpness
from landscape.cli.jobs.fingerprint import changed, confirm, stamp
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.jobs.result_names import claim, deliver, settings_of
from landscape.cli.jobs.second_order import warnings_in_one_line
from landscape.cli.options.analysis import subset_size
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.results import SharpnessResult, SpectrumResult
from landscape.stats import number_format
from landscape.storage.analysis_file import AnalysisFile

RADII = {  # where none are given, by norm
    "sam": {2.0: 0.05, math.inf: 0.0005},
    "asam": {2.0: 0.5, math.inf: 0.002},
    "max": {2.0: 0.5, math.inf: 0.002},
}


def wanted(options: Sharpness) -> list[Spec]:
    """Return the measures that the options ask for, each once."""
    return list(dict.fromkeys(spec for name in options.measures for spec in _of_kind(name, options)))


class Job:
    """The measures asked for of one checkpoint, those that are in the file already among them."""

    def __init__(self, file: AnalysisFile, subject: Subject, options: Sharpness) -> None:
        self._file, self._subject, self._options = file, subject, options
        self._mode: Any = "fixed" if options.batchnorm == "auto" else options.batchnorm
        self._wanted = wanted(options)
        self._settings = settings_of(
            subject,
            batchnorm=self._mode,
            measures=[{"name": spec.name, **spec.parameters(options.seed)} for spec in self._wanted],
        )
        self.key, earlier = claim(file, subject.label, "sharpness", self._settings, options, SharpnessResult)
        self._objective: Objective | None = None
        self._cautions: tuple[str, ...] = ()
        self._fingerprint = stamp(self.objective, options)
        self._earlier = confirm(file, self.key, earlier, self.objective, options)
        self._found: dict[str, Finding] = {} if options.overwrite else self._known()

    @property
    def missing(self) -> list[Spec]:
        """What is left to measure."""
        return [spec for spec in self._wanted if spec.label not in self._found]

    @property
    def examples(self) -> int:
        """Examples of the split that is measured on."""
        available = len(self._subject.dataset.splits[self._options.splits[0]])
        return min(subset_size(self._options.subset) or available, available)

    @property
    def objective(self) -> Objective:
        """The objective, made when it is first asked for."""
        if self._objective is None:
            self._objective = self._subject.objective(splits=self._options.splits[:1], batchnorm=self._mode)
        return self._objective

    def run(self) -> SharpnessResult:
        """Return all the measures, those that were missing measured and kept in the file one by one."""
        if self._earlier is not None and not self.missing:
            console.say(f"{self.key} is already in {self._file.path} with these settings")
            return self._earlier
        self._subject.reproduce()  # before the long part: its warning may change people's minds
        missing = self.missing
        if missing and self._found:
            console.say(f"{self.key}: {len(missing)} of {len(self._wanted)} measures are left to take")
        result = self._stored() if not missing else None
        failures: dict[str, str] = {}
        with warnings_in_one_line(), console.progress(f"{self.key}: evaluations", None) as advance:
            self._cautions = (
                warn_of_unreliable_derivatives(
                    self.objective, second=any(isinstance(spec, LargestEigenvalue) for spec in self._wanted)
                )
                if missing
                else ()
            )
            made = findings(
                self.objective,
                self._wanted,
                known=frozenset(self._found),
                seed=self._options.seed,
                on_step=lambda name: advance(1, name),
                failures=failures,
            )
            for finding in made:
                self._found[finding.label] = finding
                result = self._stored()
        self._objective = None
        lost = [f"{label} was not measured: {reason}" for label, reason in failures.items()]
        if result is None:
            raise LandscapeError(lost[0])
        for message in lost:
            console.warn(message)
        return result

    def _stored(self) -> SharpnessResult:
        """Put what is there into the file, and return it."""
        ordered = [self._found[spec.label] for spec in self._wanted if spec.label in self._found]
        seconds = sum(finding.evidence.get("seconds", 0.0) for finding in ordered)
        attributes = {**describe(self.objective), "seed": self._options.seed, "seconds": seconds}
        if self._cautions:
            attributes["warnings"] = list(self._cautions)
        left = [spec.label for spec in self.missing]
        result = gathered(ordered, attributes | ({"unfinished": left} if left else {}))
        return deliver(self._file, self.key, result, self._subject, self._settings, self._fingerprint)

    def _known(self) -> dict[str, Finding]:
        """Return, by label, what the file has of the measures asked for: of the same weights, examples and seed."""
        known: dict[str, Finding] = {}
        recipes = {spec.label: (spec.name, spec.parameters(self._options.seed)) for spec in self._wanted}
        for _, result in self._alike(SharpnessResult, but=("measures", "splits", "data")):
            for finding in with_evidence(result):
                if recipes.get(finding.label) == (finding.name, dict(finding.parameters)):
                    known.setdefault(finding.label, finding)
        for spec in self._wanted:
            if isinstance(spec, LargestEigenvalue) and spec.label not in known:
                found = self._eigenvalue(spec)
                if found is not None:
                    known[spec.label] = found
        return known

    def _eigenvalue(self, spec: LargestEigenvalue) -> Finding | None:
        """Return λ_max from a converged spectrum of the same loss in the file."""
        of_command = ("top", "bottom", "operator", "tolerance", "max_products")
        for key, result in self._alike(SpectrumResult, but=("measures", "splits", "data", *of_command)):
            theirs = result.attributes["settings"]
            alone = "subsets" not in theirs  # else it is a mean over several samples
            fits = alone and theirs.get("operator") == "hessian" and theirs.get("top", 0) > 0
            if fits and theirs.get("tolerance", math.inf) <= spec.tolerance and result.converged[0]:
                console.say(f"{self.key}: λ_max is taken from the eigenvalues already in {self._file.path} ({key})")
                return spec.of_spectrum(result, self._options.seed)
        return None

    def _alike(self, kind: type[Any], *, but: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Yield the file's results of a kind that measured the same loss, whatever the settings named in `but`."""
        mine = _comparable(self._settings, but)
        split = self._options.splits[0]
        for key, result in self._file.results.items():
            theirs = result.attributes.get("settings")
            if not isinstance(result, kind) or not key.startswith(f"{self._subject.label}/") or theirs is None:
                continue
            same_data = theirs["splits"][0] == split and theirs["data"][split] == self._settings["data"][split]
            common = {name: value for name, value in _comparable(theirs, but).items() if name in mine}
            if same_data and common == mine and changed(result, self.objective, self._options) is None:
                yield key, result


def estimate(jobs: Sequence[Job]) -> None:
    """Say about how long the measures that are missing will take, from a measured batch."""
    todo = [job for job in jobs if job.missing]
    if not todo:
        return
    rates = measured_rates(todo[0].objective)
    seconds = sum(rates.seconds(cost_of(job.missing, job.examples)) for job in todo)
    measures = sum(len(job.missing) for job in todo)
    console.say(f"{measures} measures on {todo[0].examples} examples: about {number_format.duration(seconds)}")


def _comparable(settings: Mapping[str, Any], but: Sequence[str]) -> dict[str, Any]:
    return {name: console.jsonable(value) for name, value in settings.items() if name not in but}


def _of_kind(name: str, options: Sharpness) -> Iterator[Spec]:
    if name == "keskar":
        for space in cast(tuple[Space, ...], options.spaces):
            for epsilon in options.epsilons:
                yield KeskarSharpness(epsilon, space, options.restarts)
    elif name in ("sam", "asam"):
        for p in options.p:
            for m in (None if size == "all" else int(size) for size in options.m):
                for rho in _radii(name, p, options.rho if name == "sam" else options.asam_rho):
                    if name == "sam":
                        yield SamSharpness(rho, p, m)
                    else:
                        yield AsamSharpness(rho, p, m, options.eta, options.asam_scope)
    elif name == "lambda_max":
        yield LargestEigenvalue(options.tolerance)
    else:
        for scale in options.scales:
            for logits in cast(tuple[Logits, ...], options.logits):
                yield from _around(name, options, adaptive=scale == "adaptive", logits=logits)


def _around(name: str, options: Sharpness, *, adaptive: bool, logits: Logits) -> Iterator[Spec]:
    """Yield the worst or the average cases of one scale and kind of logits."""
    if name == "average":
        for rho in options.average_rho:
            yield AverageSharpness(rho, adaptive, options.pairs, logits)
        return
    for p in options.max_p:
        for rho in _radii("max", p, options.max_rho):
            yield WorstCaseSharpness(
                rho, p, adaptive, options.max_m, options.max_examples, options.max_restarts, logits
            )


def _radii(name: str, p: float, given: Sequence[float] | None) -> Sequence[float]:
    """Return the radii given, or the usual one for the norm."""
    if given is not None:
        return given
    if p not in RADII[name]:
        option = "--rho" if name == "sam" else f"--{name}-rho"
        raise LandscapeError(f"got --p {p:g} without {option}; expected radii for it, since there are no usual ones")
    return [RADII[name][p]]
