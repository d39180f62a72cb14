"""Curvature, sharpness and losses of a training run's snapshots, as one measurement resumed snapshot by snapshot."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from landscape.analysis.curvature.eigenvalues import eigenpairs
from landscape.analysis.curvature.preconditioned import AdamState, preconditioned_eigenpair
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.objective.at_weights import at_weights
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.objective.weights import Weights
from landscape.analysis.operators.gradient_norm import gradient_norm
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.analysis.planes.snapshots import Snapshots
from landscape.analysis.sharpness import SharpnessMeasure
from landscape.analysis.sharpness.cost import cost_of, measured_rates
from landscape.analysis.sharpness.measure import distinct, iter_measures
from landscape.analysis.sharpness.protocol import Cost
from landscape.results import DynamicsResult, with_attributes
from landscape.stats.dynamics import appended, empty_dynamics
from landscape.stats.number_format import duration
from landscape.stats.stability import StepRule
from landscape.workflow.measurement import Keep, Measurement, Source
from landscape.workflow.measurements.snapshots.trajectory import digest_of

EIGENVALUES = ("lambda_max", *(f"lambda_{number}" for number in range(2, 100)))
_USUAL_PRODUCTS = 10.0  # per eigenvalue, for an estimate of the time


@dataclass(frozen=True)
class StepSizes:
    """Step sizes of a run, for its edge of stability.

    >>> steps = StepSizes(StepRule("gradient descent"), at={1.0: 0.1})
    >>> steps.rule.edge(steps.at[1.0])
    20.0

    >>> StepSizes(at={0.0: 0.1, 10.0: 0.01}).at[10.0]
    0.01

    Args:
        rule: the optimizer's step.
        at: step size by position (epoch); positions that it lacks have no edge.
        adam: Adam's state by position, for its preconditioned Hessian.
    """

    rule: StepRule = field(default_factory=StepRule)
    at: Mapping[float, float] = field(default_factory=dict)
    adam: Mapping[float, AdamState] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Dynamics(Measurement[DynamicsResult]):
    """Curvature, sharpness and losses along a training run, from its snapshots.

    The eigenvalues of a snapshot start from the eigenvectors of the one before it. A resumed run starts the first
    remaining snapshot from random vectors: its eigenvalues agree with those of an undisturbed run within the bounds.

    >>> import tempfile, torch, landscape
    >>> from safetensors.torch import save_file
    >>> model, folder = torch.nn.Linear(2, 1, bias=False), tempfile.TemporaryDirectory()
    >>> for epoch in range(2):
    ...     save_file({"weight": torch.full((1, 2), float(epoch))}, f"{folder.name}/epoch-{epoch}.safetensors")
    >>> objective = landscape.Objective(model, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> with landscape.AnalysisFile(f"{folder.name}/run.h5") as file:
    ...     run = file.measure(Dynamics(landscape.find_snapshots(folder.name), top=1), objective, name="run/dynamics")
    >>> run.position.tolist(), run.series("lambda_max").round(3).tolist(), run.series("train_loss").tolist()
    ([0.0, 1.0], [1.0, 1.0], [1.0, 0.0])
    >>> folder.cleanup()

    >>> from landscape.analysis.planes.snapshots import Snapshots
    >>> Dynamics(Snapshots(["epoch-0.safetensors", "epoch-10.safetensors"]), top=1).name
    'dynamics'

    Args:
        snapshots: weights along the run, such as `landscape.find_snapshots(folder)`; a slice takes every so many.
        top: number of largest Hessian eigenvalues of the first split's loss; 0 for none.
        measures: sharpness measures of the first split, such as `SamSharpness(rho=0.05)`.
        steps: step sizes of the run, for the edge of stability.
        position: unit of the snapshots' positions.
        tolerance: bound on the error of the eigenvalues, relative.
        max_products: matrix-vector products per snapshot after which eigenvalues are left as they are, with their
            bounds.
        batchnorm: mode of the BatchNorm statistics; the source's own if None.
        seed: of all random draws.
    """

    kind = DynamicsResult
    name = "dynamics"

    snapshots: Snapshots = field(repr=False)
    top: int = 5
    measures: tuple[SharpnessMeasure, ...] = ()
    steps: StepSizes | None = None
    position: str = "epoch"
    tolerance: float = 1e-3
    max_products: int = 200
    batchnorm: BatchNormMode | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        distinct(self.measures)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the snapshots' files, in order."""
        return digest_of(self.snapshots)

    def settings(self) -> dict[str, Any]:
        """Return the hash of the snapshots, and the options of eigenvalues and measures."""
        mode = {} if self.batchnorm is None else {"batchnorm": self.batchnorm}
        return {
            **mode,
            "snapshots": self.digest,
            "top": self.top,
            "tolerance": self.tolerance,
            "max_products": self.max_products,
            "measures": [{"name": measure.name, **measure.parameters(self.seed)} for measure in self.measures],
            "seed": self.seed,
        }

    def attributes(self, source: Source) -> dict[str, Any]:
        """Return the names of the snapshots' files."""
        return {"snapshots": [path.name for path in self.snapshots.paths]}

    def objective(self, source: Source) -> Objective:
        """Return the loss on all splits, the first for curvature and sharpness."""
        return source.objective(batchnorm=self.batchnorm)

    def cost(self, objective: Objective, stored: DynamicsResult | None) -> str:
        """Return the number of snapshots left, and their time from one measured batch."""
        count = len(self._missing(stored))
        examples = objective.data[objective.splits[0]].examples
        each = cost_of(self.measures, examples)
        products = each.products + self.top * _USUAL_PRODUCTS * examples
        cost = Cost(each.forwards + 2 * examples, each.gradients + 2 * examples, products)
        seconds = measured_rates(objective).seconds(cost)
        left = "" if stored is None else " left"
        return f"{count} snapshots{left} on {examples} examples: about {duration(count * seconds)}"

    def total_steps(self, objective: Objective, stored: DynamicsResult | None) -> int | None:
        """Return the number of snapshots left."""
        return len(self._missing(stored))

    def run(self, objective: Objective, stored: DynamicsResult | None, keep: Keep) -> DynamicsResult:
        """Return the dynamics; each snapshot is stored as soon as it is measured."""
        result = stored or self._empty(objective)
        missing = self._missing(stored)
        if missing:
            warnings = [*warn_of_unreliable_derivatives(objective, second=self.top > 0), *self._lacks_moments()]
            if warnings:
                result = with_attributes(result, warnings=warnings)
        vectors = _Vectors()
        for count, index in enumerate(missing, start=1):
            started = time.perf_counter()
            position = self.snapshots.positions[index]
            readings = self._readings(at_weights(objective, self.snapshots[index]), position, vectors)
            seconds = float(result.attributes["seconds"]) + time.perf_counter() - started
            result = with_attributes(appended(result, position, readings), seconds=seconds)
            if count < len(missing):
                keep.put(result)
            keep.advance(1, f"{self.position} {position:g}")
        if self.top > 0:
            keep.reporter.say(products_note(result))
        return result

    def _missing(self, stored: DynamicsResult | None) -> list[int]:
        """Return the indices of the snapshots that are still to be measured."""
        done = set() if stored is None else set(stored.position.tolist())
        return [index for index, position in enumerate(self.snapshots.positions) if position not in done]

    def _readings(self, objective: Objective, position: float, vectors: _Vectors) -> dict[str, tuple[float, float]]:
        """Return each quantity at a snapshot with its error."""
        readings: dict[str, tuple[float, float]] = {}
        if self.top > 0:
            request = EigenRequest(self.top, tolerance=self.tolerance, max_products=self.max_products, seed=self.seed)
            spectrum, vectors.hessian = eigenpairs(objective, request, start=vectors.hessian)
            pairs = zip(EIGENVALUES, spectrum.eigenvalues.tolist(), spectrum.bounds.tolist(), strict=False)
            readings.update((name, (value, bound)) for name, value, bound in pairs)
            readings["products"] = float(spectrum.products), math.nan
        if self.steps is not None:
            readings.update(self._edge(objective, position, self.steps, vectors))
        for measure in iter_measures(objective, self.measures, seed=self.seed, failures={}):
            readings[measure.label] = measure.value, float(measure.diagnostics.get("bound", measure.stderr))
        slope = gradient_norm(objective, objective.origin)
        readings["gradient_norm"] = slope.value, slope.stderr
        means = objective.evaluate()
        for metric in ("loss", "accuracy"):
            for split, values in means.items():
                if metric in values:
                    readings[f"{split}_{metric}"] = values[metric].value, values[metric].stderr
        if {"train", "test"} <= means.keys():
            train, test = (means[split]["loss"] for split in ("train", "test"))
            readings["generalization_gap"] = test.value - train.value, math.hypot(train.stderr, test.stderr)
        return readings

    def _edge(
        self, objective: Objective, position: float, steps: StepSizes, vectors: _Vectors
    ) -> dict[str, tuple[float, float]]:
        """Return step size, edge, and for Adam the preconditioned eigenvalue that the edge is one of."""
        readings: dict[str, tuple[float, float]] = {}
        if position in steps.at:
            size = steps.at[position]
            readings = {"learning_rate": (size, math.nan), "edge": (steps.rule.edge(size), math.nan)}
        if self.top > 0 and position in steps.adam:
            pairs = preconditioned_eigenpair(
                objective,
                steps.adam[position],
                max_products=self.max_products,
                seed=self.seed,
                start=vectors.preconditioned,
            )
            vectors.preconditioned = pairs.vectors
            readings["preconditioned_lambda_max"] = float(pairs.values[0]), float(pairs.bounds[0])
        return readings

    def _lacks_moments(self) -> list[str]:
        steps = self.steps
        if steps is None or not steps.rule.is_preconditioned or steps.adam or self.top == 0:
            return []
        return [
            "the snapshots lack Adam's second moments, so that the largest eigenvalue of its preconditioned Hessian, "
            "which its edge of stability belongs to, is not measured; train again with --snapshots to store them"
        ]

    def _empty(self, objective: Objective) -> DynamicsResult:
        stderr, bound = "standard error", "bound"
        names = [f"{split}_{metric}" for split in objective.splits for metric in ("loss", "accuracy")]
        errors = dict.fromkeys(["gradient_norm", "generalization_gap", *names], stderr)
        errors |= dict.fromkeys([*EIGENVALUES[: self.top], "preconditioned_lambda_max"], bound)
        errors |= {measure.label: bound if measure.name == "lambda_max" else stderr for measure in self.measures}
        rule = {} if self.steps is None else {"step_rule": self.steps.rule.attributes()}
        attributes = {**describe(objective, objective.splits), "position": self.position, "seconds": 0.0}
        return with_attributes(empty_dynamics(), **attributes, errors=errors, **rule)


@dataclass
class _Vectors:
    """Eigenvectors of the last snapshot, which the next one starts from."""

    hessian: Sequence[Weights] = ()
    preconditioned: Tensor | None = None


def products_note(result: DynamicsResult) -> str:
    """Return the Hessian-vector products of the first snapshot, from random vectors, and of the later ones."""
    products = result.series("products")
    if len(products) < 2:
        return f"{products.sum():.0f} Hessian-vector products"
    return (
        f"{np.nansum(products):.0f} Hessian-vector products: {products[0]:.0f} for the first snapshot, started from a "
        f"random vector, and a median of {np.nanmedian(products[1:]):.0f} for the others, started from the "
        "eigenvectors before them"
    )
