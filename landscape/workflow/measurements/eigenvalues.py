"""Eigenvalues of a curvature operator, with its trace on request, as a measurement."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from landscape.analysis.curvature.eigenvalues import VECTOR_TOLERANCE, eigenpairs
from landscape.analysis.curvature.trace import trace
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights
from landscape.analysis.planes.eigenvectors import eigenpair_names
from landscape.data.disjoint_subsets import disjoint_subsets
from landscape.execution import count_workers
from landscape.results import SpectrumResult, with_attributes
from landscape.stats.subset_mean import mean_spectrum
from landscape.workflow.measurement import Keep, Source
from landscape.workflow.measurements.curvature import CurvatureMeasurement, product_cost
from landscape.workflow.vectors import VectorFile

_TRACE_ATTRIBUTES = ("trace", "frobenius", "effective_rank", "trace_asked")


@dataclass(frozen=True)
class Trace:
    """Options of the estimated trace and Frobenius norm.

    >>> import landscape
    >>> landscape.Trace(products=100).method
    'hutch++'

    Args:
        method: "hutch++" (Meyer et al. 2021) or "hutchinson".
        products: matrix-vector products.
    """

    method: Literal["hutch++", "hutchinson"] = "hutch++"
    products: int = 60


@dataclass(frozen=True)
class Eigenvalues(CurvatureMeasurement[SpectrumResult]):
    """The largest and smallest eigenvalues of a curvature operator, each with a bound on its error.

    >>> import landscape
    >>> landscape.Eigenvalues(top=10, trace=landscape.Trace()).name
    'hessian'

    Args:
        top: number of largest (algebraic) eigenvalues.
        bottom: number of smallest ones.
        tolerance: bound on the error of each, relative to it or to a tenth of the largest magnitude.
        max_products: matrix-vector products after which eigenvalues are flagged as not converged.
        trace: also estimate the trace, the Frobenius norm and, of the GGN, the effective rank.
        subsets: disjoint stratified subsets; more than one gives means with standard errors over them.
        subset_size: examples of each; all of them are shared out if None.
        vectors: file that the eigenvectors are written to, as directions for planes.
    """

    kind = SpectrumResult

    top: int = 5
    bottom: int = 0
    tolerance: float = 1e-3
    max_products: int = 200
    trace: Trace | None = None
    subsets: int = 1
    subset_size: int | None = None
    vectors: VectorFile | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The operator's name, followed by `-subsets` for several."""
        return self.operator + ("-subsets" if self.subsets > 1 else "")

    def settings(self) -> dict[str, Any]:
        """Return operator, BatchNorm mode, numbers of eigenvalues, tolerance and products."""
        return {
            **super().settings(),
            "top": self.top,
            "bottom": self.bottom,
            "tolerance": self.tolerance,
            "max_products": self.max_products,
            **({"subsets": self.subsets} if self.subsets > 1 else {}),
        }

    def objective(self, source: Source) -> Objective:
        """Return the loss on the first split, on all its examples if there are subsets to draw from them.

        Raises:
            LandscapeError: if the examples do not suffice for disjoint subsets.
        """
        objective = source.objective(first_split=True, every_example=self.subsets > 1, batchnorm=self.batchnorm)
        self._subset_indices(objective)  # refused here, before anything is measured
        return objective

    def is_complete(self, stored: SpectrumResult) -> bool:
        """Return True if a stored spectrum has its vectors and trace where they are asked for."""
        return not (self._lacks_vectors() or self._lacks_trace(stored))

    def cost(self, objective: Objective, stored: SpectrumResult | None) -> str:
        """Return the number of products and their time."""
        products = self.subsets * self.max_products if stored is None or self._lacks_vectors() else 0
        if self.trace is not None and (stored is None or self._lacks_trace(stored)):
            products += self.subsets * min(self.trace.products, objective.size)
        sample = next(self._samples(objective), objective)
        workers = count_workers(self.workers)
        return product_cost(sample, self.operator, products, at_most=True, workers=workers)

    def run(self, objective: Objective, stored: SpectrumResult | None, keep: Keep) -> SpectrumResult:
        """Return the eigenvalues, with the trace; means over subsets if there are several."""
        lacks_trace = self.trace is not None and (stored is None or self._lacks_trace(stored))
        parts = []
        for number, sample in enumerate(self._samples(objective)):
            part = stored
            with self.sharing(sample) as shared:
                if part is None or self._lacks_vectors() or self.subsets > 1:
                    part = with_attributes(self._eigenvalues(sample, keep), **shared)
                if lacks_trace:
                    part = self._with_trace(sample, part, keep, seed=self.seed + number)
            parts.append(part)
        spectrum = parts[0] if len(parts) == 1 else mean_spectrum(parts)
        if stored is not None and not lacks_trace:  # an earlier run's estimates, of the same loss, stay
            earlier = {name: stored.attributes[name] for name in _TRACE_ATTRIBUTES if name in stored.attributes}
            spectrum = with_attributes(spectrum, **earlier)
        return spectrum

    def _lacks_vectors(self) -> bool:
        return self.vectors is not None and self.vectors.read() is None

    def _lacks_trace(self, stored: SpectrumResult) -> bool:
        return self.trace is not None and stored.attributes.get("trace_asked") != self._trace_settings()

    def _trace_settings(self) -> dict[str, Any]:
        assert self.trace is not None
        return {"method": self.trace.method, "products": self.trace.products}

    def _samples(self, objective: Objective) -> Iterator[Objective]:
        """Yield the loss on each subset, or the objective itself."""
        if self.subsets == 1:
            yield objective
            return
        (split,) = objective.splits
        for chosen in self._subset_indices(objective):
            yield objective.variant(data={split: objective.data[split].take(chosen.numpy())})

    def _subset_indices(self, objective: Objective) -> Sequence[Tensor]:
        if self.subsets == 1:
            return ()
        labels = objective.data[objective.splits[0]].labels()
        return disjoint_subsets(labels, self.subsets, self.subset_size, self.seed)

    def _eigenvalues(self, objective: Objective, keep: Keep) -> SpectrumResult:
        def on_product(count: int, relative: Tensor) -> None:
            left = max(self.top + self.bottom - int((relative <= 1).sum()), 0)  # guard vectors converge, too
            keep.advance(1, f"{left} eigenvalues still to converge")

        request = EigenRequest(
            self.top,
            self.bottom,
            tolerance=self.tolerance,
            vector_tolerance=math.inf if self.vectors is None else VECTOR_TOLERANCE,
            max_products=self.max_products,
            seed=self.seed,
        )
        spectrum, vectors = eigenpairs(objective, request, operator=self.operator, on_product=on_product)
        return spectrum if self.vectors is None else self._write_vectors(self.vectors, spectrum, vectors, keep)

    def _write_vectors(
        self, file: VectorFile, spectrum: SpectrumResult, vectors: Sequence[Weights], keep: Keep
    ) -> SpectrumResult:
        """Write the eigenvectors as directions, and return the spectrum with the name of their file."""
        names = eigenpair_names(spectrum)
        tensors = {
            f"{name}/{parameter}": part
            for name, vector in zip(names, vectors, strict=True)
            for parameter, part in vector.items()
        }
        file.write(tensors, what="unit eigenvectors, <name>/<parameter>")
        along = ",".join(f"{file.path}:{name}" for name in names[:2])
        keep.reporter.say(f"wrote the eigenvectors {', '.join(names)}; landscape surface ... --plane {along}")
        return with_attributes(spectrum, vectors=f"{file.path.parent.name}/{file.path.name}")

    def _with_trace(self, objective: Objective, spectrum: SpectrumResult, keep: Keep, *, seed: int) -> SpectrumResult:
        """Return the spectrum with trace, Frobenius norm and effective rank.

        Each subset has its own seed, so that the spread over them contains the error of the random probes.
        """
        assert self.trace is not None
        estimate = trace(
            objective,
            operator=self.operator,
            method=self.trace.method,
            products=self.trace.products,
            seed=seed,
            on_product=lambda: keep.advance(1, "trace"),
        )
        more = {**estimate.attributes(), "trace_asked": self._trace_settings()}
        if self.operator == "ggn" and self.top > 0:
            more["effective_rank"] = estimate.trace / float(spectrum.eigenvalues[0])
        return with_attributes(spectrum, **more)
