"""The top of a spectrum by way of a cheaper operator that is nearly the same.

The Gauss–Newton matrix in bfloat16 has nearly the Hessian's leading eigenvectors, at well under half the price of a
product. So they are found there first; Rayleigh–Ritz on the float32 Hessian in their span then has an error quadratic
in theirs, and bounds that do not trust the cheap operator more than its measured difference on that span.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from landscape.analysis.complement import Probe, probe_complement
from landscape.analysis.enclosures import enclosure
from landscape.analysis.lanczos import OnProduct, Search
from landscape.analysis.products import Product

if TYPE_CHECKING:
    from landscape.analysis.objective import Objective

LEAST_TOLERANCE = 1e-4  # below it the cheap vectors are too rough a start to be worth it
LEAST_SECONDS = 2.0  # of a solve; a shorter one is not worth the choice
ADVANTAGE = 0.6  # a cheap product takes at most this part of an exact one
GAP = 0.25  # between the last wanted eigenvalue and those left out of Rayleigh–Ritz, relative; more vectors join for it
MOST_GUARDS = 3
USUAL_PRODUCTS = 15


def cheap_product(objective: Objective, exact: Product, tolerance: float) -> Product | None:
    """Return the product with the cheap neighbour where it is measured to be worth it; None where it is not."""
    if objective.precision != "float32" or tolerance < LEAST_TOLERANCE or objective.device.type == "mps":
        return None
    if exact.way.mode != "reverse over reverse":
        return None
    slow = exact.seconds_per_example()
    if slow * exact.examples * USUAL_PRODUCTS < LEAST_SECONDS:
        return None
    operator = "ggn" if exact.operator == "hessian" else exact.operator
    cheap = objective.product(operator, split=exact.split, precision="bfloat16")
    try:
        fast = cheap.seconds_per_example()
    except (RuntimeError, NotImplementedError):  # an operator of this model has no bfloat16 form
        return None
    return cheap if fast < ADVANTAGE * slow else None


def search_by_neighbour(
    exact: Product,
    cheap: Product,
    rounded: Product,
    *,
    top: int,
    tolerance: float,
    max_products: int,
    seed: int,
    device: torch.device,
    on_product: OnProduct | None = None,
) -> tuple[Search | None, int]:
    """Return a search on the exact operator that began with the cheap one's vectors, and the cheap products used.

    None where the exact operator has, outside the cheap one's space, an eigenvalue as large as those wanted.

    Args:
        exact: the operator asked for.
        cheap: its neighbour.
        rounded: the operator asked for in the neighbour's precision, which searches for what the neighbour lacks.
        top: how many of the largest eigenvalues.
        tolerance: of their bounds, relative.
        max_products: with either operator.
        seed: of the random vectors.
        device: where the basis is held.
        on_product: called after each product with their number and the current bounds relative to the tolerance.
    """
    near = Search(
        cheap, exact.size, top=top, tolerance=0.6 * tolerance, seed=seed, device=device, on_product=on_product
    )
    near.begin(None)
    near.run(max_products, check=False)
    basis = near.basis
    last = float(basis.values[top - 1])

    def count() -> None:
        near.check_products += 1
        if on_product is not None:
            on_product(near.products, torch.zeros(top))

    probe: Probe = probe_complement(
        rounded,
        basis,
        near.random(),
        good=lambda low, high: high <= (1 - GAP) * last,
        limits=(-np.inf, last),
        most=max(1, min(USUAL_PRODUCTS, max_products - near.products)),
        on_product=count,
    )
    if probe.missed is not None or not probe.high < last or not near.settled:
        return None, near.products
    tops = [enclosure(basis.T, basis.G, place, probe.low, probe.high)[1] for place in range(min(basis.count, top + 4))]
    guards = [k for k in range(MOST_GUARDS + 1) if top + k < len(tops) and last - tops[top + k] >= GAP * last]
    kept = list(range(top + (guards[0] if guards else 1)))
    start, image = basis.vectors(kept), basis.images(kept)
    highest = tops[len(kept)] if len(kept) < len(tops) else probe.high
    lowest = min(probe.low, float(basis.values[-1]))
    used = near.products
    cheap.release()
    rounded.release()
    del near, basis  # before the exact graphs need the memory
    search = Search(
        exact,
        exact.size,
        top=top,
        tolerance=tolerance,
        seed=seed,
        device=device,
        on_product=None if on_product is None else _shifted(on_product, used),
    )
    search.begin(start.T)
    difference = search.basis.difference(start, image)
    search.outside = lowest - difference, highest + difference
    return search, used


def _shifted(on_product: OnProduct, used: int) -> Callable[[int, Tensor], None]:
    return lambda count, relative: on_product(used + count, relative)
