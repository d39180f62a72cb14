"""The convexity map as a measurement that resumes point by point."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.surfaces.convexity import empty_convexity, measure_convexity
from landscape.analysis.surfaces.convexity_task import QUICK_PRODUCTS, ConvexitySettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Points
from landscape.execution import Workers, count_workers, use
from landscape.results import ConvexityResult
from landscape.stats.number_format import duration
from landscape.workflow.measurement import Keep, Source
from landscape.workflow.measurements.on_plane import OnPlane
from landscape.workflow.measurements.sampled import check_resumable
from landscape.workflow.planes import PlaneSpec
from landscape.workflow.planes.spec import plane_identity

TYPICAL_PRODUCTS = 17  # at a point, to the default tolerance


@dataclass(frozen=True)
class Convexity(OnPlane[ConvexityResult]):
    """|λ_min / λ_max| of the Hessian over a plane (Li et al. 2018, section 6), with both eigenvalues and their bounds.

    >>> import landscape
    >>> landscape.Convexity(axes=landscape.Axes(31)).name
    'convexity'

    Args:
        plane: kind of plane; two filter-normalized random directions of `seed` by default.
        axes: coordinates of the grid.
        tolerance: bound on the error of both eigenvalues, relative to the one of larger magnitude.
        quick: a few products from the eigenvectors of the previous point; the proven bounds are then wide.
        max_products: products at a point; if they do not suffice, the bounds are larger.
        batchnorm: mode of the BatchNorm statistics; the plane's default if None.
        seed: of the starting vectors, and of random directions.
        suffix: of the default name.
        workers: processes that share the points, or the result of `landscape.execution.open`; the values do not depend
            on them.
    """

    kind = ConvexityResult

    plane: PlaneSpec | None = None
    axes: Axes = field(default_factory=lambda: Axes(21))
    tolerance: float = 0.05
    quick: bool = False
    max_products: int = 100
    batchnorm: BatchNormMode | None = None
    seed: int = 0
    suffix: str = ""
    workers: int | Workers = 1

    @property
    def grid(self) -> Axes:
        """Axes of the points."""
        return self.axes

    @property
    def name(self) -> str:
        """`convexity`, with the plane's name unless its directions are random."""
        plane = self.spec.name + self.suffix
        return plane.replace("plane", "convexity", 1) if plane.startswith("plane") else f"convexity-{plane}"

    def settings(self) -> dict[str, Any]:
        """Return axes, directions, BatchNorm mode, tolerance and products."""
        return {
            "batchnorm": self.mode,
            **self.axes.identity(*self._coordinates()),
            "tolerance": self.tolerance,
            "quick": self.quick,
            "max_products": self.max_products,
            "seed": self.seed,
            **plane_identity(self.spec, self.seed),
        }

    def objective(self, source: Source) -> Objective:
        """Return the loss on the first split."""
        return source.objective(first_split=True, batchnorm=self.mode)

    def is_complete(self, stored: ConvexityResult) -> bool:
        """Return True if no point is missing and the map was finished."""
        return stored.complete

    def total_steps(self, objective: Objective, stored: ConvexityResult | None) -> int:
        """Return the number of points left."""
        return int((~self._begun(objective, stored).computed()).sum())

    def cost(self, objective: Objective, stored: ConvexityResult | None) -> str:
        """Return the number of points and products, and the time from two timed products."""
        left = ~self._begun(objective, stored).computed()
        points = int(left.sum())
        if not points:
            return "all points are measured; deriving the rest"
        full = int(left.any(axis=1).sum()) if self.quick else points
        first, each = _product_seconds(objective)
        counts = f"about {QUICK_PRODUCTS} at most of them" if self.quick else f"about {TYPICAL_PRODUCTS} at each"
        products = full * TYPICAL_PRODUCTS + (points - full) * QUICK_PRODUCTS
        total = (points * (first - each) + each * products) / count_workers(self.workers)
        examples = objective.data[objective.splits[0]].examples
        resumed = "" if stored is None else f"resuming with {points} points left, "
        return (
            f"{resumed}{points} points x {examples} examples, {each:.2g} s a product, {counts}: about {duration(total)}"
        )

    def run(self, objective: Objective, stored: ConvexityResult | None, keep: Keep) -> ConvexityResult:
        """Return the map, its missing points measured and kept one by one."""
        with use(self.workers) as workers:
            threads = workers.threads if stored is None else int(stored.attributes["threads"])
            torch.set_num_threads(threads)
            return self._measure(objective, stored, workers, keep)

    def _measure(
        self, objective: Objective, stored: ConvexityResult | None, workers: Workers, keep: Keep
    ) -> ConvexityResult:
        plane = self.spec.make(objective, None if stored is None else stored.attributes["directions"])
        begun = self._begun(objective, stored)
        if stored is None:
            attributes = {
                **describe(objective, objective.splits[:1]),
                "directions": dict(plane.provenance),
                **({"marks": list(plane.marks)} if plane.marks else {}),
            }
            begun = dataclasses.replace(begun, attributes=attributes)
        else:
            check_resumable(stored, objective, plane)
        keep.begin(begun)

        def on_point(rows: Points) -> None:
            keep.append(rows)
            keep.advance()

        measured = measure_convexity(
            objective,
            plane,
            begun,
            ConvexitySettings(self.tolerance, self.quick, self.max_products, self.seed),
            workers=workers,
            on_point=on_point,
        )
        seconds = measured.attributes["seconds"] + float(begun.attributes.get("seconds", 0.0))
        return dataclasses.replace(measured, attributes={**measured.attributes, **begun.attributes, "seconds": seconds})

    def _begun(self, objective: Objective, stored: ConvexityResult | None) -> ConvexityResult:
        """Return the stored part, or the map before its first point."""
        if stored is not None:
            return stored
        alpha, beta = self._coordinates()
        assert beta is not None
        return empty_convexity(objective, alpha, beta)


def _product_seconds(objective: Objective) -> tuple[float, float]:
    """Return the seconds of a first product, with its set-up, and of one more."""
    product = CurvatureOperator(objective)
    vector = torch.ones(product.size) / product.size**0.5
    product.mode  # noqa: B018  # chosen before the clock runs
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        product(vector)
        seconds.append(time.perf_counter() - started)
    return seconds[0], min(seconds)
