"""Trace and Frobenius norm of a symmetric operator that is known only by its products, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from landscape.analysis.estimates import estimate_of
from landscape.analysis.objective import Objective
from landscape.errors import LandscapeError

Method: TypeAlias = Literal["hutch++", "hutchinson"]


@dataclass(frozen=True)
class Traces:
    """Trace and Frobenius norm, each with its standard error over the random probes (0 where they are exact)."""

    trace: float
    trace_stderr: float
    frobenius: float
    frobenius_stderr: float
    method: str
    products: int

    def attributes(self) -> dict[str, Any]:
        """Return what a `Spectrum` keeps of it, JSON-able."""
        shared = {"method": self.method, "products": self.products}
        return {
            "trace": {"value": self.trace, "stderr": self.trace_stderr, **shared},
            "frobenius": {"value": self.frobenius, "stderr": self.frobenius_stderr, **shared},
        }


def trace(
    objective: Objective,
    *,
    operator: str = "hessian",
    method: Method = "hutch++",
    products: int = 60,
    seed: int = 0,
    split: str | None = None,
    on_product: Callable[[], None] | None = None,
) -> Traces:
    """Return the trace and the Frobenius norm of a curvature operator of the mean loss.

    Args:
        objective: whose loss, at whose weights.
        operator: "hessian", "ggn" or "fisher".
        method: see `estimate_traces`.
        products: operator-vector products to spend.
        seed: of the random probes.
        split: which split's loss; the first by default.
        on_product: called after each product.
    """
    product = objective.product(operator, split=split)
    return estimate_traces(
        product,
        product.size,
        method=method,
        products=products,
        seed=seed,
        device=objective.device,
        on_product=on_product,
    )


def estimate_traces(
    product: Callable[[Tensor], Tensor],
    size: int,
    *,
    method: Method = "hutch++",
    products: int = 60,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_product: Callable[[], None] | None = None,
) -> Traces:
    """Return trace and Frobenius norm from random probes.

    "hutchinson" (Hutchinson 1990): the means of zᵀAz and of ‖Az‖² over vectors z of random signs. "hutch++" (Meyer et
    al. 2021, arXiv:2010.09649, algorithm 1): a third of the products sketches the range of A, a third takes its part
    exactly, and only the rest is estimated, with the last third. Exact where there are as many products as dimensions.

    Args:
        product: v → A v on (n,) vectors.
        size: n.
        method: which of the two.
        products: to spend; at least 2, for "hutch++" at least 6.
        seed: of the random probes.
        device: where the vectors are.
        on_product: called after each product.

    Raises:
        LandscapeError: for another method, or fewer products than it needs.
    """
    least = {"hutchinson": 2, "hutch++": 6}
    if method not in least:
        raise LandscapeError(f"unknown method {method!r}; expected one of {', '.join(get_args(Method))}")
    if products < least[method]:
        raise LandscapeError(f"got {products} products; expected at least {least[method]} for {method}")
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.float64 if torch.device(device).type != "mps" else torch.float32

    def apply(vectors: Tensor) -> Tensor:
        found = []
        for vector in vectors:
            found.append(product(vector).to(vector))
            if on_product is not None:
                on_product()
        return torch.stack(found)

    if products >= size:
        A = apply(torch.eye(size, dtype=dtype, device=device))
        return Traces(float(A.trace()), 0.0, float(A.norm()), 0.0, "exact", size)
    sketched = products // 3 if method == "hutch++" else 0
    basis = torch.zeros(0, size, dtype=dtype, device=device)
    exact_trace = exact_square = 0.0
    if sketched:
        sketch = apply(torch.randn(sketched, size, generator=generator, dtype=torch.float64).to(device, dtype))
        basis = torch.linalg.qr(sketch.T)[0].T
        images = apply(basis)
        exact_trace, exact_square = float((images * basis).sum()), float(images.square().sum())
    traces, squares = [], []
    for _ in range(products - 2 * sketched):
        signs = torch.randint(0, 2, (size,), generator=generator).to(device, dtype) * 2 - 1
        z = signs - basis.T @ (basis @ signs)
        image = apply(z[None])[0]
        traces.append(float(z @ image))
        squares.append(float(image.square().sum()))
    rest, square = (estimate_of(torch.tensor(values).double().numpy(), single=True) for values in (traces, squares))
    norm = math.sqrt(exact_square + square.value)
    return Traces(
        exact_trace + rest.value,
        rest.stderr,
        norm,
        square.stderr / (2 * norm) if norm > 0 else 0.0,  # delta method
        method,
        products,
    )
