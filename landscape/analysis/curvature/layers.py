"""Curvature of each layer by itself: the diagonal blocks of the Hessian, one for each module with parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from landscape.analysis.curvature.eigenvalues import ROUNDING_SHARE
from landscape.analysis.curvature.trace import estimate_traces
from landscape.analysis.linalg.eigenpairs import EigenRequest
from landscape.analysis.linalg.lanczos import extreme_eigenpairs
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.metadata import MeasurementMetadata
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.rounding import matvec_rounding_error
from landscape.results import LayersResult

OnLayer = Callable[[str, int], None]


def layers(
    objective: Objective,
    *,
    operator: str = "hessian",
    tolerance: float = 1e-3,
    max_products: int = 100,
    trace_products: int = 18,
    seed: int = 0,
    split: str | None = None,
    on_product: OnLayer | None = None,
) -> LayersResult:
    """Return the largest eigenvalue and the trace of each layer's own block, in the order of the network.

    A layer is a module with parameters of its own; its block is the diagonal block of these. The trace is estimated by
    Hutch++ (Meyer et al. 2021, arXiv:2010.09649); it is exact for layers of at most `trace_products` parameters.

    >>> import torch, landscape
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
    >>> objective = landscape.Objective(model, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.layers(objective).names
    ('0', '2')

    Args:
        objective: loss and weights.
        operator: "hessian", "ggn" or "fisher".
        tolerance: of the bounds of the eigenvalues, relative; the bounds are those of `hessian`.
        max_products: matrix-vector products for the eigenvalue of each layer.
        trace_products: matrix-vector products for the trace of each layer.
        seed: of the random vectors.
        split: of the loss; the first by default.
        on_product: called after each product with the layer's name and the number of layers done.

    Raises:
        LandscapeError: if the loss diverges at the weights.
    """
    metadata = MeasurementMetadata(objective, operator, split, seed)
    groups = layer_parameters(objective.origin)
    rows, products, against = [], 0, ""
    for done, (name, parameters) in enumerate(groups.items()):

        def report(*_: object, name: str = name, done: int = done) -> None:
            if on_product is not None:
                on_product(name, done)

        product = CurvatureOperator(objective, operator, split=split, names=parameters)
        pairs = extreme_eigenpairs(
            product,
            product.size,
            EigenRequest(top=1, tolerance=(1 - ROUNDING_SHARE) * tolerance, max_products=max_products, seed=seed),
            device=objective.device,
            on_product=report,
        )
        traces = estimate_traces(
            product,
            product.size,
            products=trace_products,
            seed=seed,
            device=objective.device,
            on_product=report,
        )
        products += product.num_matvecs
        product.release()  # the next layer's graphs need the memory
        rounding = matvec_rounding_error(objective, pairs.vectors[:, 0], operator, split, names=parameters)
        against = rounding.method
        bound = pairs.bounds[0].item() + (rounding.size if np.isfinite(rounding.size) else 0.0)
        rows.append(
            (
                product.size,
                pairs.values[0].item(),
                bound,
                pairs.converged[0].item() and bound <= tolerance * pairs.scales[0].item(),
                traces.trace,
                traces.trace_stderr,
            )
        )
    sizes, top, bounds, converged, values, stderrs = zip(*rows, strict=True)
    return LayersResult(
        names=tuple(groups),
        parameters=np.array(sizes, dtype=np.int64),
        top=np.array(top),
        bounds=np.array(bounds),
        converged=np.array(converged, dtype=bool),
        trace=np.array(values),
        trace_stderr=np.array(stderrs),
        products=products,
        attributes={
            **metadata.attributes(),
            "tolerance": tolerance,
            "product_error_against": against,
            "trace_method": f"Hutch++ with {trace_products} products",
        },
    )


def layer_parameters(names: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return parameter names by the module that owns them, in their order; the root module's is called "(root)"."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition(".")[0] or "(root)", []).append(name)
    return groups
