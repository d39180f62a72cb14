"""An orthonormal basis V of part of a space, the products W = A V of a symmetric operator, and Rayleigh–Ritz in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.results import Floats

MAX_BASIS_BYTES = 4e9  # for the vectors and their products together
DOUBLE_BASIS_BYTES = 2e9  # below this they are kept in float64
_CHUNK = 1 << 18  # entries of vectors at a time


class Basis:
    """A growing orthonormal basis with Rayleigh–Ritz in its span.

    Attributes:
        count: m, its dimension.
        products: operator-vector products so far.
        T: (m, m) VᵀAV.
        values: (m,) Ritz values, descending.
        residuals: (m,) ‖A y − θ y‖ of the Ritz vectors y, computed from the products themselves.
        G: (m, m) inner products of those residuals.
        largest: the largest |θ| seen so far.
    """

    def __init__(self, product: Callable[[Tensor], Tensor], size: int, room: int, device: torch.device) -> None:
        self._product, self.size, self.room = product, size, min(room, size)
        double = 2 * 8 * size * self.room <= DOUBLE_BASIS_BYTES and device.type != "mps"
        dtype = torch.float64 if double else torch.float32
        self._v = torch.empty(self.room, size, dtype=dtype, device=device)  # pages not written to take no memory
        self._w = torch.empty_like(self._v)
        self.count, self.products, self.largest = 0, 0, 0.0
        self.T: Floats = np.zeros((0, 0))
        self.G: Floats = np.zeros((0, 0))
        self.values = self.residuals = np.zeros(0)
        self._s: Floats = np.zeros((0, 0))  # columns: the Ritz vectors' coefficients

    @property
    def full(self) -> bool:
        """True if the basis spans the whole space, so that Rayleigh–Ritz is exact."""
        return self.count == self.size

    def append(self, vectors: Tensor) -> int:
        """Add the parts of the rows of (k, n) outside the basis; return the number of vectors added."""
        before = self.count
        for vector in vectors.to(self._v):
            v = self.outside(vector)
            length = v.norm()
            if length > 0:
                self._v[self.count] = v / length
                self.count += 1
        added = slice(before, self.count)
        if before < self.count:
            self._multiply(added)
            self._solve()
        return self.count - before

    def _multiply(self, added: slice) -> None:
        v = self._v[added]
        w = self._product(v[0])[None] if len(v) == 1 else self._product(v.T).T
        self.products += len(v)
        if not bool(torch.isfinite(w).all()):
            raise LandscapeError("a product with the Hessian holds NaN or inf; the loss diverges at these weights")
        self._w[added] = w.to(v)

    def _solve(self) -> None:
        v, w = self._v[: self.count], self._w[: self.count]
        t = (v @ w.T).double().cpu().numpy()
        self.T = (t + t.T) / 2
        values, s = np.linalg.eigh(self.T)
        self.values, self._s = values[::-1], s[:, ::-1]
        back, theta = torch.from_numpy(self._s.T.copy()).to(v), torch.from_numpy(self.values.copy()).to(v)
        gram = torch.zeros(self.count, self.count, dtype=v.dtype, device=v.device)
        for start in range(0, self.size, _CHUNK):  # from the residuals themselves: W Wᵀ − T² would cancel
            part = slice(start, start + _CHUNK)
            r = back @ w[:, part] - theta[:, None] * (back @ v[:, part])
            gram += r @ r.T
        self.G = gram.double().cpu().numpy()
        self.residuals = np.sqrt(np.diag(self.G))
        self.largest = max(self.largest, float(np.abs(values).max()))

    def outside(self, vector: Tensor) -> Tensor:
        """Return the part of a vector that is orthogonal to the basis, 0 if it is at rounding level."""
        v = vector.to(self._v)
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            v = self.projected_out(v)
        return v if v.norm() > 1e-10 * vector.norm() else torch.zeros_like(v)

    def like(self, vector: Tensor) -> Tensor:
        """Return a vector on the basis's device, in its precision."""
        return vector.to(self._v)

    def projected_out(self, vector: Tensor) -> Tensor:
        """Return a vector without its projection on the basis."""
        known = self._v[: self.count]
        return vector - known.T @ (known @ vector)  # the columns of a matrix as well

    def next_krylov(self) -> Tensor:
        """Return the last product's part outside the basis, which extends a Krylov space."""
        return self.outside(self._w[self.count - 1])

    def residual(self, index: int) -> Tensor:
        """Return the residual of a Ritz pair, which extends the basis (for a Krylov basis: as Lanczos does)."""
        s = torch.from_numpy(self._s[:, index].copy()).to(self._v)
        r = s @ self._w[: self.count] - float(self.values[index]) * (s @ self._v[: self.count])
        return self.outside(r)

    def vectors(self, indices: list[int]) -> Tensor:
        """Return Ritz vectors as columns, (n, K)."""
        s = torch.from_numpy(self._s[:, indices].T.copy()).to(self._v)
        return (s @ self._v[: self.count]).T

    def images(self, indices: list[int]) -> Tensor:
        """Return the products with Ritz vectors as columns, (n, K)."""
        s = torch.from_numpy(self._s[:, indices].T.copy()).to(self._w)
        return (s @ self._w[: self.count]).T

    def difference(self, vectors: Tensor, images: Tensor) -> float:
        """Return ‖P (A − B) V‖₂ outside the basis, for orthonormal V in its span with these products B V."""
        v = vectors.to(self._v)
        exact = (self._w[: self.count].T) @ (self._v[: self.count] @ v)  # A V, as V lies in the span
        outside = self.projected_out(exact - images.to(self._v))
        return float(torch.linalg.matrix_norm(outside.double(), 2))

    def restart(self, keep: list[int]) -> None:
        """Replace the basis by some of its Ritz vectors (thick restart, Wu & Simon 2000)."""
        s = torch.from_numpy(self._s[:, keep].T.copy()).to(self._v)
        v, w = s @ self._v[: self.count], s @ self._w[: self.count]
        self.count = len(keep)
        self._v[: self.count], self._w[: self.count] = v, w
        self._solve()


def basis_room(asked: int | None, wanted: int, size: int, more: int = 0) -> int:
    """Return the number of vectors to hold before a restart.

    Raises:
        LandscapeError: if memory does not suffice for the wanted pairs.
    """
    affordable = int(MAX_BASIS_BYTES // (2 * 4 * size))
    if affordable < wanted + 3 <= size:
        raise LandscapeError(
            f"{wanted} eigenvectors of {size} parameters need more than {MAX_BASIS_BYTES / 1e9:.0f} GB; "
            "ask for fewer, or choose params="
        )
    return min(size, max(wanted + 3, min(asked or 2 * wanted + 20 + more, affordable)))
