"""`landscape hessian`: extreme eigenvalues with residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from landscape.cli import console
from landscape.cli.options import AnalysisOptions, expect_derivatives, expect_number
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from torch import Tensor

    from landscape.cli.subjects import Subject
    from landscape.results import Spectrum
    from landscape.store import AnalysisFile


@dataclass(frozen=True)
class HessianOptions:
    """Which eigenvalues, and how well."""

    top: Annotated[int, arg(metavar="K")] = 5
    """How many of the largest eigenvalues."""
    bottom: Annotated[int, arg(metavar="K")] = 0
    """How many of the smallest (most negative) ones."""
    operator: Literal["hessian", "ggn"] = "hessian"
    """The Hessian, or the generalized Gauss-Newton matrix."""
    tolerance: Annotated[float, arg(metavar="X")] = 1e-3
    """Converged when the bound is at most this times the eigenvalue (or a tenth of the largest one)."""
    max_products: Annotated[int, arg(metavar="N")] = 200
    """Most Hessian-vector products per checkpoint; what has not converged by then is flagged."""


@dataclass(frozen=True)
class Hessian(AnalysisOptions, HessianOptions):
    """Compute the largest (and smallest) eigenvalues of the loss's Hessian, each with its residual."""

    def run(self) -> None:
        """Compute, store, and print."""
        from landscape.allocator import tune_allocator
        from landscape.cli.filing import closing, keep_history, out_path
        from landscape.cli.subjects import load_subjects
        from landscape.store import AnalysisFile

        tune_allocator()
        expect_number("--top", self.top)
        expect_number("--bottom", self.bottom)
        expect_number("--tolerance", self.tolerance, above=True)
        expect_number("--max-products", self.max_products, least=1)
        expect_derivatives(self)
        if self.top + self.bottom == 0:
            raise LandscapeError("got --top 0 --bottom 0; expected at least one eigenvalue")
        subjects = load_subjects(self)
        with AnalysisFile(out_path(self, subjects)) as file:
            found = {}
            for subject in subjects:
                keep_history(file, subject)
                key, spectrum = compute(file, subject, self)
                found[key] = spectrum
            if self.json:
                console.print_json({key: summary(spectrum) for key, spectrum in found.items()})
            else:
                _print(found)
            closing(file)


def compute(file: AnalysisFile, subject: Subject, options: Hessian) -> tuple[str, Spectrum]:
    """Return the name and the spectrum of one checkpoint, computed unless the file has it."""
    from landscape.analysis.curvature import hessian
    from landscape.cli.filing import claim, deliver, settings_of
    from landscape.results import Spectrum

    mode: Any = "fixed" if options.batchnorm == "auto" else options.batchnorm
    settings = settings_of(
        subject,
        batchnorm=mode,
        operator=options.operator,
        top=options.top,
        bottom=options.bottom,
        tolerance=options.tolerance,
        max_products=options.max_products,
    )
    key, existing = claim(file, subject.label, options.operator, settings, options, Spectrum)
    if existing is not None:
        console.say(f"{key} is already in {file.path} with these settings")
        return key, existing
    subject.reproduce()  # before the long part: its warning may change people's minds
    objective = subject.objective(splits=options.splits[:1], batchnorm=mode)
    with console.progress(f"{key}: products", None) as advance:

        def on_product(count: int, relative: Tensor) -> None:
            open_pairs = options.top + options.bottom - int((relative <= 1).sum())
            advance(1, f"{open_pairs} eigenvalues still to converge")

        spectrum = hessian(
            objective,
            top=options.top,
            bottom=options.bottom,
            operator=options.operator,
            tolerance=options.tolerance,
            max_products=options.max_products,
            seed=options.seed,
            on_product=on_product,
        )
    return key, deliver(file, key, spectrum, subject, settings)


def summary(spectrum: Spectrum) -> dict[str, Any]:
    """Return a spectrum's numbers and provenance, JSON-able."""
    return {
        "eigenvalues": spectrum.eigenvalues,
        "ends": ["top" if end > 0 else "bottom" for end in spectrum.ends],
        "residuals": spectrum.residuals,
        "bounds": spectrum.bounds,
        "converged": spectrum.converged,
        "products": spectrum.products,
        "attributes": dict(spectrum.attributes),
    }


def _print(found: dict[str, Spectrum]) -> None:
    rows = []
    for key, spectrum in found.items():
        places = {1: 0, -1: 0}
        total = int((spectrum.ends < 0).sum())
        for i, value in enumerate(spectrum.eigenvalues):
            end = int(spectrum.ends[i])
            places[end] += 1
            place = f"top {places[1]}" if end > 0 else f"bottom {total + 1 - places[-1]}"
            converged = "yes" if spectrum.converged[i] else "NO"
            rows.append(
                [
                    key,
                    place,
                    console.number(float(value)),
                    f"{spectrum.residuals[i]:.1e}",
                    f"{spectrum.bounds[i]:.1e}",
                    converged,
                ]
            )
    console.print_table(
        "eigenvalues (an exact one lies within the bound)", ["result", "", "λ", "residual", "bound", "converged"], rows
    )
    for key, spectrum in found.items():
        seconds = console.duration(spectrum.attributes["seconds"])
        console.say(f"{key}: {spectrum.products} products ({spectrum.attributes['derivative_mode']}) in {seconds}")
        if not spectrum.converged.all():
            console.warn(
                f"{key}: not all converged; try --max-products above {spectrum.products}, or a larger --tolerance"
            )
