"""Trace and Frobenius norm of a symmetric operator that is known only by its products, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from landscape.analysis.linalg.basis import DOUBLE_BASIS_BYTES, MAX_BASIS_BYTES
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.reliability import warn_of_unreliable_derivatives
from landscape.errors import LandscapeError
from landscape.stats.mean import mean_of

BLOCK = 8  # vectors per product: batches whose graphs memory does not keep are then recorded once for all of them

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
        """Return the attributes that a `SpectrumResult` stores, JSON-able."""
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

    >>> import torch, landscape
    >>> inputs, targets = torch.eye(3), torch.ones(3, 1)
    >>> objective = landscape.Objective(torch.nn.Linear(3, 1, bias=False), "mse", inputs, targets, device="cpu")
    >>> round(landscape.trace(objective).trace, 4)  # the Hessian is (2/3) I
    2.0

    Args:
        objective: loss and weights.
        operator: "hessian", "ggn" or "fisher".
        method: see `estimate_traces`.
        products: operator-vector products to spend.
        seed: of the random probes.
        split: which split's loss; the first by default.
        on_product: called after each product.
    """
    warn_of_unreliable_derivatives(objective, split, second=operator == "hessian")
    product = CurvatureOperator(objective, operator, split=split)
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
    Trace and squared norm are unbiased; the norm itself is low by about its stderr² / (2 · norm). The standard errors
    are the probes' spread: rough where those are few (a third of the products, for "hutch++").

    Args:
        product: V → A V on the columns of (n, k).
        size: n.
        method: "hutch++" or "hutchinson".
        products: to spend; at least 2, for "hutch++" at least 6.
        seed: of the random probes.
        device: where the vectors are.
        on_product: called after each product.

    Raises:
        LandscapeError: for another method, fewer products than it needs, or an operator that returns NaN or inf.
    """
    least = {"hutchinson": 2, "hutch++": 6}
    if method not in least:
        raise LandscapeError(f"unknown method {method!r}; expected one of {', '.join(get_args(Method))}")
    if products < least[method]:
        raise LandscapeError(f"got {products} products; expected at least {least[method]} for {method}")
    generator = torch.Generator().manual_seed(seed)
    device = torch.device(device)
    sketched = products // 3 if method == "hutch++" else 0
    sketched = min(sketched, int(MAX_BASIS_BYTES // (2 * 4 * size)))  # of what memory holds; the rest are probes
    double = 2 * 8 * size * sketched <= DOUBLE_BASIS_BYTES and device.type != "mps"
    dtype = torch.float64 if double else torch.float32

    def apply(block: Tensor) -> Tensor:
        """Return the products with the rows of a block."""
        images = product(block.T).T.to(block)
        if not bool(torch.isfinite(images).all()):
            raise LandscapeError("a product with the Hessian holds NaN or inf; the loss diverges at these weights")
        if on_product is not None:
            for _ in block:
                on_product()
        return images

    def sums(blocks: Iterable[Tensor]) -> Tensor:
        """Return vᵀAv and ‖Av‖² of each row, (2, k)."""
        pairs = ((block, apply(block)) for block in blocks)
        return torch.cat([torch.stack([(v * Av).sum(1), Av.square().sum(1)]).double().cpu() for v, Av in pairs], dim=1)

    def parts(rows: Tensor) -> Iterator[Tensor]:
        return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))

    if products >= size:
        diagonal, squares = sums(parts(torch.eye(size, dtype=dtype, device=device)))
        return Traces(float(diagonal.sum()), 0.0, math.sqrt(float(squares.sum())), 0.0, "exact", size)
    known_trace = known_square = 0.0
    basis = torch.zeros(0, size, dtype=dtype, device=device)
    if sketched:
        normals = (torch.randn(k, size, generator=generator, dtype=torch.float64) for k in _sizes(sketched))
        sketch = torch.cat([apply(block.to(device, dtype)) for block in normals])
        basis = torch.linalg.qr(sketch.T)[0].T
        known_trace, known_square = sums(parts(basis)).sum(1).tolist()
    signs = (
        torch.randint(0, 2, (k, size), generator=generator).to(device, dtype) * 2 - 1
        for k in _sizes(products - 2 * sketched)
    )
    estimates = sums(z - (z @ basis.T) @ basis for z in signs)
    rest, square = (mean_of(values.numpy()) for values in estimates)
    norm = math.sqrt(known_square + square.value)
    return Traces(
        known_trace + rest.value,
        rest.stderr,
        norm,
        square.stderr / (2 * norm) if norm > 0 else 0.0,  # delta method
        method,
        products,
    )


def _sizes(count: int) -> list[int]:
    """Return the sizes of blocks of so many vectors."""
    return [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
