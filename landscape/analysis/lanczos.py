"""Extreme eigenpairs of a symmetric operator that is known only by its products.

Lanczos with full reorthogonalization and Rayleigh–Ritz on the stored products: the residual of every pair is computed
from what the operator really returned, not from a recurrence, and costs no further products. When the basis is full it
is restarted with the best Ritz vectors (thick restart, Wu & Simon 2000).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import LandscapeError

FLOOR = 0.1  # eigenvalues smaller than this fraction of the largest are asked for its absolute accuracy
MAX_BASIS_BYTES = 4e9  # for the vectors and their products together
DOUBLE_BASIS_BYTES = 2e9  # below this they are kept in float64


@dataclass(frozen=True)
class Eigenpairs:
    """Ritz pairs of a symmetric operator, the top ones first, descending; then the bottom ones."""

    values: Tensor  # (K,) float64
    vectors: Tensor  # (n, K) unit columns
    ends: Tensor  # (K,) +1 top, −1 bottom
    residuals: Tensor  # (K,) ‖A v − λ v‖: some exact eigenvalue lies within it of λ
    scales: Tensor  # (K,) max(|λ|, FLOOR · largest |λ| of the operator), which the tolerance is relative to
    converged: Tensor  # (K,) residual ≤ tolerance · scale
    products: int


def extreme_eigenpairs(
    product: Callable[[Tensor], Tensor],
    size: int,
    *,
    top: int,
    bottom: int = 0,
    tolerance: float = 1e-3,
    max_products: int = 200,
    basis: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    on_product: Callable[[int, Tensor], None] | None = None,
) -> Eigenpairs:
    """Return the `top` largest and `bottom` smallest (algebraic) eigenpairs, each with its residual.

    As with any Krylov method from one starting vector, an eigenvalue that is repeated exactly may be found once.

    Args:
        product: v → A v on (n,) vectors.
        size: n.
        top: how many of the largest.
        bottom: how many of the smallest.
        tolerance: a pair is converged when ‖A v − λ v‖ ≤ tolerance · max(|λ|, 0.1 · largest |λ|): an eigenvalue near
            0 has no relative accuracy to ask for.
        max_products: stop here at the latest (but not before there are as many pairs as asked for); what has not
            converged by then is flagged.
        basis: largest number of basis vectors held, 2 · (top + bottom) + 20 by default, fewer where memory is short.
        seed: of the starting vector.
        device: where the basis is held.
        on_product: called after each product with their number and the current residuals relative to the tolerance.

    Raises:
        LandscapeError: for counts that do not fit the size, or an operator that returns NaN or inf.
    """
    wanted = top + bottom
    if top < 0 or bottom < 0 or not 1 <= wanted <= size:
        raise LandscapeError(
            f"got top={top} and bottom={bottom} eigenvalues; expected 1 to {size} together, the number of parameters"
        )
    space = _Space(product, size, _basis_size(basis, wanted, size), torch.device(device))
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(size, generator=generator, dtype=torch.float64)
    while True:
        if not space.append(vector):  # the Krylov space is exhausted: go on in a random new direction
            vector = torch.randn(size, generator=generator, dtype=torch.float64)
            continue
        values, coefficients, residuals, ends = space.ritz(top, bottom)
        scale = torch.maximum(values.abs(), FLOOR * space.largest)
        relative = residuals / (tolerance * scale).clamp_min(torch.finfo(torch.float64).tiny)
        complete = len(values) == wanted
        if on_product is not None:
            on_product(space.products, relative)
        converged = relative <= 1
        whole = space.count == size  # nothing is left outside the basis: Rayleigh–Ritz is exact
        spent = space.products >= max_products and complete
        if (complete and bool(converged.all())) or spent or whole:
            return Eigenpairs(values, space.combine(coefficients), ends, residuals, scale, converged, space.products)
        vector = space.next_vector()
        if space.count == space.capacity:
            space.restart(keep=min(space.capacity - 2, wanted + 5), top=top, bottom=bottom)


class _Space:
    """An orthonormal basis V, the products W = A V, and Rayleigh–Ritz in their span."""

    def __init__(self, product: Callable[[Tensor], Tensor], size: int, capacity: int, device: torch.device) -> None:
        self._product = product
        double = 2 * 8 * size * capacity <= DOUBLE_BASIS_BYTES and device.type != "mps"
        dtype = torch.float64 if double else torch.float32
        self._v = torch.zeros(capacity, size, dtype=dtype, device=device)
        self._w = torch.zeros(capacity, size, dtype=dtype, device=device)
        self.capacity = capacity
        self.count = 0
        self.products = 0
        self.largest = torch.zeros((), dtype=torch.float64)
        self._eigenvalues = self._s = torch.zeros(0, dtype=torch.float64)

    def append(self, vector: Tensor) -> bool:
        """Orthonormalize a vector against the basis, add it and its product; False if it lies in the span."""
        v = self._outside(vector.to(self._v))
        length = v.norm()
        if not length > 0:
            return False
        v = v / length
        w = self._product(v).to(v)
        self.products += 1
        if not bool(torch.isfinite(w).all()):
            raise LandscapeError("a product with the Hessian holds NaN or inf; the loss diverges at these weights")
        self._v[self.count], self._w[self.count] = v, w
        self.count += 1
        t = (self._v[: self.count] @ self._w[: self.count].T).double().cpu()
        self._eigenvalues, self._s = torch.linalg.eigh((t + t.T) / 2)
        self.largest = self._eigenvalues.abs().max()
        return True

    def ritz(self, top: int, bottom: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return Ritz values, coefficients (count, K), explicit residuals and ends of the wanted pairs found so far."""
        upper = min(top, self.count)
        lower = min(bottom, self.count - upper)
        index = [*range(self.count - 1, self.count - 1 - upper, -1), *range(lower - 1, -1, -1)]
        values, s = self._eigenvalues[index], self._s[:, index]
        back = s.T.to(self._v)
        residual = back @ self._w[: self.count] - values.to(self._v)[:, None] * (back @ self._v[: self.count])
        ends = torch.tensor([1] * upper + [-1] * lower, dtype=torch.int8)
        return values, s, residual.double().norm(dim=1).cpu(), ends

    def next_vector(self) -> Tensor:
        """Return the last product's part outside the basis, which extends the Krylov space.

        After a restart too, if taken before it: it is then the direction of all residuals, so that the kept Ritz
        vectors and it are again a Lanczos basis. (With what the restart drops still in it, restarts stagnate.)
        """
        return self._outside(self._w[self.count - 1])

    def combine(self, coefficients: Tensor) -> Tensor:
        """Return the vectors with these coefficients in the basis, (n, K)."""
        return (coefficients.T.to(self._v) @ self._v[: self.count]).T

    def _outside(self, vector: Tensor) -> Tensor:
        """Return the part of a vector that is orthogonal to the basis; 0 where that is only rounding."""
        v, known = vector, self._v[: self.count]
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            v = v - known.T @ (known @ v)
        return v if v.norm() > 1e-10 * vector.norm() else torch.zeros_like(v)

    def restart(self, *, keep: int, top: int, bottom: int) -> None:
        """Replace the basis by its most wanted Ritz vectors, shared out between the two ends."""
        upper = keep if bottom == 0 else max(top, round(keep * top / (top + bottom)))
        lower = keep - upper
        index = [*range(lower), *range(self.count - upper, self.count)]
        s = self._s[:, index].T.to(self._v)
        self._v[:keep], self._w[:keep] = s @ self._v[: self.count], s @ self._w[: self.count]
        self.count = keep
        self._v[keep:], self._w[keep:] = 0, 0


def _basis_size(asked: int | None, wanted: int, size: int) -> int:
    affordable = int(MAX_BASIS_BYTES // (2 * 4 * size))
    if affordable < wanted + 3 <= size:
        raise LandscapeError(
            f"{wanted} eigenvectors of {size} parameters need more than {MAX_BASIS_BYTES / 1e9:.0f} GB; "
            "ask for fewer, or choose params="
        )
    return min(size, max(wanted + 3, min(asked or 2 * wanted + 20, affordable)))
