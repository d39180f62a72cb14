"""`landscape hessian`: eigenvalues with residuals, trace, spectral density, and each layer's curvature."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from landscape.cli.options.analysis import (
    AnalysisOptions,
    derivative_mode,
    expect_derivatives,
    expect_number,
    subset_size,
)
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.options.snapshots import SnapshotOptions, check_snapshots
from landscape.cli.terminal import console
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.workflow.measurements.curvature import CurvatureMeasurement
    from landscape.workflow.measurements.eigenvalues import Eigenvalues
    from landscape.workflow.sources.loaded_model import LoadedModel


@dataclass(frozen=True)
class HessianOptions:
    """Eigenvalues, their accuracy, and the estimates beside them."""

    top: Annotated[int, arg(metavar="K")] = 5
    """Number of largest eigenvalues."""
    bottom: Annotated[int, arg(metavar="K")] = 0
    """Number of smallest (most negative) eigenvalues."""
    operator: Literal["hessian", "ggn", "fisher"] = "hessian"
    """The Hessian, the generalized Gauss-Newton matrix, or the empirical Fisher matrix."""
    tolerance: Annotated[float, arg(metavar="X")] = 1e-3
    """Converged when the bound is at most this times the eigenvalue (or a tenth of the largest one)."""
    max_products: Annotated[int, arg(metavar="N")] = 200
    """Most Hessian-vector products per checkpoint; eigenvalues not converged by then are flagged."""
    subsets: Annotated[int, arg(metavar="N")] = 1
    """Disjoint stratified subsets of --subset examples each: means with standard errors over them."""
    vectors: bool = False
    """Also keep the eigenvectors beside the results, as directions for surface --plane."""
    trace: bool = False
    """Also estimate trace and Frobenius norm with standard errors (Hutch++), and of the GGN the effective rank."""
    density: bool = False
    """Also the spectral density, by stochastic Lanczos quadrature."""
    layers: bool = False
    """Also the largest eigenvalue and the trace of each layer's own block."""


@dataclass(frozen=True)
class HessianCommand(AnalysisOptions, ExecutionOptions, SnapshotOptions, HessianOptions):
    """Compute the eigenvalues of the loss's Hessian, each with its residual; its trace, density and layers.

    With --snapshots: the largest eigenvalues over the epochs of a run, against its optimizer's edge of stability, with
    gradient norm, losses and generalization gap.
    """

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.cli.requests.session import session
        from landscape.cli.tables.curvature import print_curvature
        from landscape.cli.tables.summary import summary
        from landscape.workflow.plan import PlannedOnly

        _check(self)
        if self.snapshots is not None:
            self._run_over_snapshots()
            return
        with session(self) as opened:
            results: dict[str, Any] = {}
            for model in opened.models:
                for measurement, suffix in self._measurements(opened.runner.file.path, model):
                    name = None if self.name is None else self.name + suffix
                    shared = dataclasses.replace(measurement, workers=opened.workers)
                    with suppress(PlannedOnly):
                        key, result = opened.runner.measure(shared, model, name=name)
                        results[key] = result
            if self.dry_run:
                raise PlannedOnly
            if self.json:
                console.print_json({key: summary(result) for key, result in results.items()})
            else:
                print_curvature(results)

    def _run_over_snapshots(self) -> None:
        from landscape.cli.requests.dynamics import measure_runs
        from landscape.cli.requests.session import session

        with session(self) as opened:
            measure_runs(opened, self, self, top=self.top, tolerance=self.tolerance, max_products=self.max_products)

    def _measurements(self, results: Path, model: LoadedModel) -> Iterator[tuple[CurvatureMeasurement[Any], str]]:
        """Yield the measurements of one checkpoint, each with the suffix of its name."""
        from landscape.workflow.measurements.density import Density
        from landscape.workflow.measurements.layers import Layers

        if self.top + self.bottom:
            yield self._eigenvalues(results, model), ""
        mode = derivative_mode(self)
        if self.density:
            yield Density(self.operator, mode, self.seed), "-density"
        if self.layers:
            yield Layers(self.operator, mode, self.seed, self.tolerance, self.max_products), "-layers"

    def _eigenvalues(self, results: Path, model: LoadedModel) -> Eigenvalues:
        """Return the measurement of the eigenvalues."""
        from landscape.workflow.measurements.eigenvalues import Eigenvalues, Trace
        from landscape.workflow.vectors import vector_file

        measurement = Eigenvalues(
            operator=self.operator,
            batchnorm=derivative_mode(self),
            seed=self.seed,
            top=self.top,
            bottom=self.bottom,
            tolerance=self.tolerance,
            max_products=self.max_products,
            trace=Trace() if self.trace else None,
            subsets=self.subsets,
            subset_size=subset_size(self.subset),
        )
        if not self.vectors:
            return measurement
        settings = {**measurement.identity(model), "vectors": True, "code": dict(model.code)}
        file = vector_file(results, f"{model.label}-{self.name or measurement.name}", settings)
        return dataclasses.replace(measurement, vectors=file)


def _check(options: HessianCommand) -> None:
    """Check that the options make sense, alone and together.

    Raises:
        LandscapeError: if they do not.
    """
    expect_number("--top", options.top)
    expect_number("--bottom", options.bottom)
    expect_number("--tolerance", options.tolerance, above=True)
    expect_number("--max-products", options.max_products, least=1)
    expect_number("--subsets", options.subsets, least=1)
    expect_derivatives(options)
    check_snapshots(options, len(options.checkpoints))
    if options.snapshots is not None:
        _check_snapshots_alone(options)
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


def _check_snapshots_alone(options: HessianCommand) -> None:
    """Refuse options of a single checkpoint's spectrum with --snapshots.

    Raises:
        LandscapeError: naming the option.
    """
    others = {
        "--bottom": options.bottom,
        "--operator": options.operator != "hessian",
        "--subsets": options.subsets > 1,
        "--vectors": options.vectors,
        "--trace": options.trace,
        "--density": options.density,
        "--layers": options.layers,
    }
    for flag, given in others.items():
        if given:
            raise LandscapeError(f"{flag} is of one checkpoint; --snapshots measures the Hessian's largest eigenvalues")
