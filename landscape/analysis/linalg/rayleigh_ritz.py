"""Rayleigh–Ritz for extreme eigenpairs in a growing basis, with bounds that hold for the whole space."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analysis.linalg.basis import Basis, basis_room
from landscape.analysis.linalg.bounds import estimated_bounds, lehmann_interval, probable_range
from landscape.analysis.linalg.complement import probe_complement
from landscape.analysis.linalg.eigenpairs import Apply, Eigenpairs, EigenRequest, OnProduct
from landscape.errors import LandscapeError
from landscape.results import Floats

CHECK_PRODUCTS = 40  # of one search for what was missed, at most, or twice the search before it where that is more
UNKNOWN = (-np.inf, np.inf)


class RayleighRitz:
    """Rayleigh–Ritz in a growing basis, with bounds of the spectrum in its complement.

    The bound of a pair is the smaller of its residual (some exact eigenvalue is that near) and half the width of
    Lehmann's interval for the eigenvalue of its index, once the range outside the basis is known.

    Attributes:
        outside: bounds of the operator's spectrum in the complement of the basis, as far as they are known.
        check_products: products spent on them.
    """

    def __init__(
        self,
        product: Apply,
        size: int,
        request: EigenRequest,
        *,
        device: torch.device | str = "cpu",
        on_product: OnProduct | None = None,
    ) -> None:
        top, bottom, count = request.top, request.bottom, request.top + request.bottom
        if top < 0 or bottom < 0 or not 1 <= count <= size:
            raise LandscapeError(
                f"got top={top} and bottom={bottom} eigenvalues; expected 1 to {size} together, the number of "
                "parameters"
            )
        room = basis_room(request.basis, count, size, more=100 if bottom else 0)
        self.basis = Basis(product, size, room, torch.device(device))
        self.outside, self.check_products = UNKNOWN, 0
        self._product, self._top, self._bottom = product, top, bottom
        self._tolerance, self._vector_tolerance = request.tolerance, request.vector_tolerance
        self._floor = request.floor
        self._generator = torch.Generator().manual_seed(request.seed)
        self._on_product = on_product
        self._pure = True  # the basis is the Krylov space of one random vector
        self._last: tuple[Any, Floats] = None, np.zeros(0)  # the state that the bounds were last computed in, and those

    @property
    def products(self) -> int:
        """Operator-vector products so far."""
        return self.basis.products + self.check_products

    @property
    def wanted(self) -> list[int]:
        """Indices of the wanted pairs among the Ritz values, which descend."""
        count = self.basis.count
        upper = min(self._top, count)
        return [*range(upper), *range(count - min(self._bottom, count - upper), count)]

    @property
    def complete(self) -> bool:
        """True once the basis holds as many pairs as wanted."""
        return len(self.wanted) == self._top + self._bottom

    @property
    def settled(self) -> bool:
        """True once the wanted bounds (estimates while `outside` is unknown) and residuals are within the tolerance."""
        return self.complete and bool((self._excess() <= 1).all())

    @property
    def verified(self) -> bool:
        """True once no eigenvalue was missed that is more extreme than a wanted one by more than the tolerance."""
        return bool(self._verified().all())

    @property
    def whole(self) -> tuple[float, float]:
        """Probabilistic bounds of the whole spectrum from the Krylov space of a random vector; infinite without one."""
        basis = self.basis
        if not self._pure or basis.count == 0:
            return UNKNOWN
        betas = np.append(np.diag(basis.T, 1), np.sqrt(np.trace(basis.G)))
        return probable_range(np.diag(basis.T), np.abs(betas), basis.size)

    def random(self) -> Tensor:
        """Return the next random vector."""
        return torch.randn(self.basis.size, generator=self._generator, dtype=torch.float64)

    def begin(self, start: Tensor | None) -> None:
        """Begin with the rows of (k, n), or with a random vector."""
        self._pure = start is None
        self.add(self.random()[None] if start is None else start)

    def add(self, vectors: Tensor) -> None:
        """Add the rows of (k, n) to the basis, or a random vector if they lie in it (an exhausted Krylov space)."""
        if self.basis.count + len(vectors) > self.basis.room:
            self._restart()
        while self.basis.append(vectors) == 0:
            vectors, self._pure = self.random()[None], False
        self._report()

    def run(self, max_products: int, *, check: bool = True) -> None:
        """Extend the basis until all pairs are settled and verified, or the products are spent."""
        while not self.basis.full:
            done = self.settled and (self.verified or not check)
            if done or (self.products >= max_products and self.complete):
                return
            if not self.settled or self._krylov_verifies():
                self._extend()
            elif not self._check(max_products):
                return

    def restrict(self, top: int, bottom: int) -> None:
        """Restrict the wanted pairs to the first ones of each end; the basis stays."""
        self._top, self._bottom, self._last = top, bottom, (None, np.zeros(0))

    def result(self, *, checked: bool = True) -> Eigenpairs:
        """Return the wanted pairs as they stand."""
        index, ends = self.wanted, self._ends()
        ritz, residuals, bounds = self.basis.values[index], self.basis.residuals[index], self._bounds()
        verified = self._verified()
        if checked and self.outside == UNKNOWN:  # estimates are no bounds
            bounds = np.minimum(residuals, self._extremes())
        values = self._centres() if self.outside != UNKNOWN else ritz
        scales = self._scales()
        converged = (bounds <= self._tolerance * scales) & (verified if checked else True)
        converged &= residuals / self._vector_tolerance <= scales
        order = np.lexsort((-values, -ends))  # of nearly equal ones the centres can be in another order

        def ordered(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array[order])

        return Eigenpairs(
            values=ordered(values),
            vectors=self.basis.vectors([index[i] for i in order]),
            from_top=ordered(ends > 0),
            residuals=ordered(np.hypot(residuals, values - ritz)),
            bounds=ordered(bounds),
            scales=ordered(scales),
            converged=ordered(converged),
            products=self.products,
            check_products=self.check_products,
            outside=self.outside,
        )

    def _extremes(self) -> Floats:
        """Return the distance from each Ritz value to its end of the spectrum, infinite if several are wanted there."""
        values, ends = self.basis.values[self.wanted], self._ends()
        lowest, highest = self.whole
        above = highest - values if self._top == 1 else np.full(len(values), np.inf)
        below = values - lowest if self._bottom == 1 else np.full(len(values), np.inf)
        return np.maximum(np.where(ends > 0, above, below), 0.0)

    def _extend(self) -> None:
        """Add the residual of the pair that is furthest from the tolerance."""
        worst = self.wanted[int(np.argmax(self._excess()))]
        self.add((self.basis.next_krylov() if self._pure else self.basis.residual(worst))[None])

    def _krylov_verifies(self) -> bool:
        """Return True if the growing Krylov space verifies the ends by itself: at most one pair is wanted at each."""
        return self._pure and max(self._top, self._bottom) == 1 and self.basis.count < self.basis.room

    def _restart(self) -> None:
        """Reduce the basis to its most wanted Ritz vectors, shared out between the two ends."""
        basis = self.basis
        keep = min(basis.room - 2, len(self.wanted) + 5)
        upper = keep if self._bottom == 0 else max(self._top, round(keep * self._top / (self._top + self._bottom)))
        basis.restart([*range(upper), *range(basis.count - (keep - upper), basis.count)])
        self.outside, self._pure = UNKNOWN, False  # what was dropped is outside now

    def _check(self, max_products: int) -> bool:
        """Search the complement for missed eigenvalues; return True if it settled the question or found one."""
        values, allowed, ends = self.basis.values[self.wanted], self._allowed(), self._ends()

        def good(low: float, high: float) -> bool:
            self.outside = low, high
            return self.verified and self.settled

        probe = probe_complement(
            self._product,
            self.basis,
            self.random(),
            good=good,
            limits=(
                (values - allowed)[ends < 0].max(initial=-np.inf),
                (values + allowed)[ends > 0].min(initial=np.inf),
            ),
            most=max(1, min(max(CHECK_PRODUCTS, 2 * self.basis.products), max_products - self.products)),
            on_product=self.count_check,
        )
        if probe.missed is not None:
            self.outside, self._pure = UNKNOWN, False
            self.add(probe.missed[None])
        return probe.missed is not None or self.verified

    def _verified(self) -> NDArray[np.bool_]:
        """Return True for each wanted pair if no eigenvalue more extreme than the last of its end was missed."""
        values, allowed, ends = self.basis.values[self.wanted], self._allowed(), self._ends()
        if self.basis.full:
            return np.full(len(ends), True)
        above = (values + allowed)[ends > 0].min(initial=np.inf)
        below = (values - allowed)[ends < 0].max(initial=-np.inf)
        low, high = self.outside
        top = high <= above or (self._top == 1 and self.whole[1] <= above)
        bottom = low >= below or (self._bottom == 1 and self.whole[0] >= below)
        return np.where(ends > 0, top, bottom)

    def count_check(self) -> None:
        """Count a product of a search for what was missed."""
        self.check_products += 1
        self._report()

    def _report(self) -> None:
        if self._on_product is not None:
            self._on_product(self.products, torch.from_numpy(self._excess()))

    def _ends(self) -> Floats:
        upper = min(self._top, self.basis.count)
        return np.array([1] * upper + [-1] * (len(self.wanted) - upper), dtype=np.int8)

    def _scales(self) -> Floats:
        return np.maximum(np.abs(self.basis.values[self.wanted]), self._floor * self.basis.largest)

    def _allowed(self) -> Floats:
        return self._tolerance * self._scales()

    def _excess(self) -> Floats:
        """Return the bounds (or residuals, where they are worse) in units of what is allowed."""
        residuals = self.basis.residuals[self.wanted] / self._vector_tolerance
        excess: Floats = np.maximum(self._bounds() / self._tolerance, residuals) / self._scales().clip(1e-300)
        return excess

    def _intervals(self) -> Floats:
        basis = self.basis
        rows = []
        for index, end in zip(self.wanted, self._ends(), strict=True):
            if end > 0:
                rows.append(lehmann_interval(basis.values, basis.G, index, *self.outside))
            else:  # the same of −A
                low, high = self.outside
                first, last = lehmann_interval(
                    -basis.values[::-1], basis.G[::-1, ::-1], basis.count - 1 - index, -high, -low
                )
                rows.append((-last, -first))
        return np.array(rows)

    def _centres(self) -> Floats:
        """Return the centre of each Lehmann interval, or the Ritz value if the residual is the better bound."""
        ritz, residuals = self.basis.values[self.wanted], self.basis.residuals[self.wanted]
        low, high = self._intervals().T
        return np.where((high - low) / 2 < residuals, (low + high) / 2, ritz)

    def _bounds(self) -> Floats:
        """Return rigorous bounds if `outside` is known, else estimates from the next Ritz values."""
        state = self.basis.count, self.products, self.outside
        if self._last[0] != state:
            residuals = self.basis.residuals
            if self.basis.full or self.outside == UNKNOWN:
                bounds = estimated_bounds(self.basis.values, residuals, self._top, len(self.wanted))
            else:
                low, high = self._intervals().T
                bounds = np.minimum(residuals[self.wanted], (high - low) / 2)
            self._last = state, bounds
        return self._last[1]
