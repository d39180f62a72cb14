"""`landscape hessian`: eigenvalues with residuals, trace, spectral density, and each layer's curvature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import (
    AnalysisOptions,
    OptionalNumber,
    default,
    expect,
    expect_derivatives,
    expect_number,
)
from landscape.cli.terminal import console
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.cli.jobs.loaded_model import Subject
    from landscape.results import DensityResult, LayersResult, SpectrumResult
    from landscape.storage.analysis_file import AnalysisFile

    Compute = Callable[[AnalysisFile, Subject, "Hessian"], tuple[str, SpectrumResult | DensityResult | LayersResult]]


@dataclass(frozen=True)
class HessianOptions:
    """Which eigenvalues, how well, and what else."""

    top: Annotated[int, arg(metavar="K")] = 5
    """How many of the largest eigenvalues."""
    bottom: Annotated[int, arg(metavar="K")] = 0
    """How many of the smallest (most negative) ones."""
    operator: Literal["hessian", "ggn", "fisher"] = "hessian"
    """The Hessian, the generalized Gauss-Newton matrix, or the empirical Fisher matrix."""
    tolerance: Annotated[float, arg(metavar="X")] = 1e-3
    """Converged when the bound is at most this times the eigenvalue (or a tenth of the largest one)."""
    max_products: Annotated[int, arg(metavar="N")] = 200
    """Most Hessian-vector products per checkpoint; what has not converged by then is flagged."""
    subsets: Annotated[int, arg(metavar="N")] = 1
    """Disjoint stratified subsets of --subset examples each: means with standard errors over them."""
    vectors: bool = False
    """Also keep the eigenvectors beside the results, as directions for surface --along."""
    trace: bool = False
    """Also estimate trace and Frobenius norm with standard errors, and of the GGN the effective rank."""
    trace_method: Literal["hutch++", "hutchinson"] = "hutch++"
    """How they are estimated."""
    trace_products: Annotated[int, arg(metavar="N")] = 60
    """Products for it."""
    density: bool = False
    """Also the spectral density, by stochastic Lanczos quadrature."""
    density_vectors: Annotated[int, arg(metavar="N")] = 4
    """Its random starting vectors; the standard error is over them."""
    density_steps: Annotated[int, arg(metavar="N")] = 60
    """Lanczos steps, of one product each, from every starting vector."""
    sigma: Annotated[OptionalNumber, default("a hundredth of the largest eigenvalue")] = None
    """Width of the Gaussians it is drawn with; curves of other widths do not compare."""
    layers: bool = False
    """Also the largest eigenvalue and the trace of each layer's own block."""


@dataclass(frozen=True)
class Hessian(AnalysisOptions, HessianOptions):
    """Compute the eigenvalues of the loss's Hessian, each with its residual; its trace, density and layers."""

    def run(self) -> None:
        """Compute, store, and print."""
        from landscape.cli.jobs import density_layers as densities
        from landscape.cli.jobs import eigenvalues
        from landscape.cli.jobs.loaded_model import load_subjects
        from landscape.cli.jobs.result_names import closing, keep_history, open_file
        from landscape.cli.jobs.second_order import warnings_in_one_line
        from landscape.cli.tables.curvature import print_curvature, summary
        from landscape.execution.allocator import tune_allocator

        tune_allocator()
        _check(self)
        wanted: list[Compute] = [eigenvalues.compute] if self.top + self.bottom else []
        wanted += [densities.density_of] if self.density else []
        wanted += [densities.layers_of] if self.layers else []
        subjects = load_subjects(self)
        with open_file(self, subjects) as file, warnings_in_one_line():
            found: dict[str, SpectrumResult | DensityResult | LayersResult] = {}
            for subject in subjects:
                keep_history(file, subject)
                found.update(compute(file, subject, self) for compute in wanted)
            if self.json:
                console.print_json({key: summary(result) for key, result in found.items()})
            else:
                print_curvature(found)
            closing(file)


def compute(file: AnalysisFile, subject: Subject, options: Hessian) -> tuple[str, SpectrumResult]:
    """Return the name and the spectrum of one checkpoint, computed as far as the file lacks it."""
    from landscape.cli.jobs import eigenvalues

    return eigenvalues.compute(file, subject, options)


def named(options: Hessian, suffix: str) -> Hessian:
    """Return the options with what follows on the --name of the eigenvalues, where there is one."""
    return options if options.name is None else dataclasses.replace(options, name=f"{options.name}-{suffix}")


def _check(options: Hessian) -> None:
    """Check that the options make sense, alone and together.

    Raises:
        LandscapeError: where they do not.
    """
    expect_number("--top", options.top)
    expect_number("--bottom", options.bottom)
    expect_number("--tolerance", options.tolerance, above=True)
    expect_number("--max-products", options.max_products, least=1)
    expect_number("--subsets", options.subsets, least=1)
    expect_number("--trace-products", options.trace_products, least=6 if options.trace_method == "hutch++" else 2)
    expect_number("--density-vectors", options.density_vectors, least=1)
    expect_number("--density-steps", options.density_steps, least=1)
    if options.sigma is not None:
        expect_number("--sigma", options.sigma, above=True)
        expect(options.density, "--sigma", options.sigma, "--density with it, whose width it is")
    expect_derivatives(options)
    if options.top + options.bottom == 0:
        for flag, given in (("--trace", options.trace), ("--vectors", options.vectors)):
            if given:
                raise LandscapeError(f"got {flag} with --top 0 --bottom 0; expected at least one eigenvalue to go with")
        if not (options.density or options.layers):
            raise LandscapeError("got --top 0 --bottom 0; expected at least one eigenvalue, --density or --layers")
    if options.subsets > 1:
        for flag, given in (
            ("--vectors", options.vectors),
            ("--density", options.density),
            ("--layers", options.layers),
        ):
            if given:
                raise LandscapeError(f"{flag} is of one set of examples, --subsets is for eigenvalues and --trace")
        if options.top + options.bottom == 0:
            raise LandscapeError("got --subsets without eigenvalues; expected --top or --bottom above 0")
