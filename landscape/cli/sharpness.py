"""`landscape sharpness`: a table of sharpness measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from landscape.cli import console
from landscape.cli.options import AnalysisOptions, Numbers, expect_derivatives, expect_number

if TYPE_CHECKING:
    from landscape.cli.subjects import Subject
    from landscape.results import Measure
    from landscape.results import Sharpness as SharpnessResult
    from landscape.store import AnalysisFile


@dataclass(frozen=True)
class SharpnessOptions:
    """Which neighbourhoods."""

    epsilons: Numbers = (1e-3, 5e-4)
    """Box sizes of Keskar's ε-sharpness (full space)."""
    restarts: Annotated[int, arg(metavar="N")] = 1
    """Random starts of its maximization, besides the vertex in the gradient's direction."""
    rho: Annotated[float, arg(metavar="X")] = 0.05
    """Radius of SAM's ascent step."""
    average_rho: Annotated[float, arg(metavar="X")] = 0.1
    """Size of the random perturbations of the average-case measure, relative to the weights."""
    pairs: Annotated[int, arg(metavar="N")] = 10
    """Antithetic pairs of such perturbations."""
    no_lambda_max: bool = False
    """Leave out the largest Hessian eigenvalue, which takes longest."""
    tolerance: Annotated[float, arg(metavar="X")] = 1e-3
    """Largest relative residual of that eigenvalue."""


@dataclass(frozen=True)
class Sharpness(AnalysisOptions, SharpnessOptions):
    """Measure how sharp minima are: Keskar's ε-sharpness, SAM sharpness, average-case sharpness, and λ_max."""

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.allocator import tune_allocator
        from landscape.cli.filing import closing, keep_history, out_path
        from landscape.cli.subjects import load_subjects
        from landscape.store import AnalysisFile

        tune_allocator()
        for epsilon in self.epsilons:
            expect_number("--epsilons", epsilon, above=True)
        for option, value in (
            ("--rho", self.rho),
            ("--average-rho", self.average_rho),
            ("--tolerance", self.tolerance),
        ):
            expect_number(option, value, above=True)
        expect_derivatives(self)
        expect_number("--restarts", self.restarts)
        expect_number("--pairs", self.pairs, least=1)
        subjects = load_subjects(self)
        with AnalysisFile(out_path(self, subjects)) as file:
            found = {}
            for subject in subjects:
                keep_history(file, subject)
                found[subject.label] = compute(file, subject, self)
            if self.json:
                console.print_json({label: summary(result) for label, result in found.items()})
            else:
                print_sharpness(found)
            closing(file)


def compute(file: AnalysisFile, subject: Subject, options: Sharpness) -> SharpnessResult:
    """Return the sharpness of one checkpoint, computed unless the file has it."""
    from landscape.analysis.sharpness import sharpness
    from landscape.cli.filing import claim, deliver, settings_of
    from landscape.results import Sharpness as SharpnessResult

    mode: Any = "fixed" if options.batchnorm == "auto" else options.batchnorm
    settings = settings_of(
        subject,
        batchnorm=mode,
        epsilons=list(options.epsilons),
        restarts=options.restarts,
        rho=options.rho,
        average_rho=options.average_rho,
        pairs=options.pairs,
        lambda_max=not options.no_lambda_max,
        tolerance=options.tolerance,
    )
    key, existing = claim(file, subject.label, "sharpness", settings, options, SharpnessResult)
    if existing is not None:
        console.say(f"{key} is already in {file.path} with these settings")
        return existing
    subject.reproduce()  # before the long part: its warning may change people's minds
    objective = subject.objective(splits=options.splits[:1], batchnorm=mode)
    known = None if options.no_lambda_max else _known_lambda_max(file, subject.label, settings)
    if known is not None:
        console.say(f"{key}: λ_max is taken from the eigenvalues already in {file.path}")
    with console.progress(f"{key}: evaluations", None) as advance:
        found = sharpness(
            objective,
            epsilons=options.epsilons,
            restarts=options.restarts,
            rho=options.rho,
            average_rho=options.average_rho,
            pairs=options.pairs,
            lambda_max=not options.no_lambda_max and known is None,
            tolerance=options.tolerance,
            seed=options.seed,
            on_step=lambda name: advance(1, name),
        )
    if known is not None:
        found = dataclasses.replace(found, measures=(*found.measures, known))
    return deliver(file, key, found, subject, settings)


def _known_lambda_max(file: AnalysisFile, label: str, settings: Mapping[str, Any]) -> Measure | None:
    """Return λ_max from a converged spectrum of the same loss in the file, so that it is not computed again."""
    from landscape.analysis.sharpness import lambda_max_measure
    from landscape.results import Spectrum

    same = ("checkpoint", "model", "model_args", "mean", "std", "subset", "loss", "params", "seed", "batchnorm")
    split = settings["splits"][0]
    for key, result in file.results.items():
        theirs = result.attributes.get("settings", {})
        if not isinstance(result, Spectrum) or not key.startswith(f"{label}/") or theirs.get("operator") != "hessian":
            continue
        alike = all(theirs.get(name) == settings[name] for name in same) and theirs["splits"][0] == split
        alike = alike and theirs["data"][split] == settings["data"][split]
        if alike and theirs["top"] > 0 and theirs["tolerance"] <= settings["tolerance"] and result.converged[0]:
            return lambda_max_measure(result)
    return None


def summary(result: SharpnessResult) -> dict[str, Any]:
    """Return the measures and their provenance, JSON-able."""
    return {
        "measures": [
            {
                "name": m.name,
                "label": m.label,
                "value": m.value,
                "stderr": m.stderr,
                "meaning": m.meaning,
                "evaluations": m.evaluations,
                "parameters": dict(m.parameters),
            }
            for m in result.measures
        ],
        "attributes": dict(result.attributes),
    }


def print_sharpness(found: Mapping[str, SharpnessResult]) -> None:
    """Print the measures of several checkpoints side by side, and what each number is."""
    labels = list(dict.fromkeys(m.label for result in found.values() for m in result.measures))
    by_label = {name: {m.label: m for m in result.measures} for name, result in found.items()}
    rows = []
    for label in labels:
        cells = [measures.get(label) for measures in by_label.values()]
        rows.append([label, *("" if m is None else console.number(m.value, m.stderr) for m in cells)])
    console.print_table("sharpness (higher is sharper)", ["measure", *found], rows)
    for m in next(iter(found.values())).measures:
        console.say(f"  {m.label}: {m.meaning}")
