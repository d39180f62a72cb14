"""Parts of the labels, meanings and parameters that several measures share."""

from __future__ import annotations

import math


def label_of(name: str, *details: str) -> str:
    """Return a label: the measure's name, then the details that are not empty.

    >>> label_of("SAM sharpness", "", "m = 128", "ρ = 0.05")
    'SAM sharpness, m = 128, ρ = 0.05'
    """
    return ", ".join([name, *(detail for detail in details if detail)])


def norm_detail(p: float) -> str:
    """Return the norm as a detail of a label; empty for p = 2.

    >>> norm_detail(2.0), norm_detail(3.0)
    ('', 'p = 3')
    """
    return "" if p == 2 else "p = ∞" if math.isinf(p) else f"p = {p:g}"


def jsonable_norm(p: float) -> float | str:
    """Return the order of a norm as a JSON value; infinity, which JSON lacks, is "inf".

    >>> jsonable_norm(float("inf")), jsonable_norm(2.0)
    ('inf', 2)
    """
    return "inf" if math.isinf(p) else int(p) if p == int(p) else p


def over_subsets(count: int, size: int) -> str:
    """Return the meaning of a mean over subsets.

    >>> over_subsets(8, 128)
    'mean over 8 random subsets of 128 examples'
    """
    return f"mean over {count} random subsets of {size} examples" if count > 1 else f"on one subset of {size} examples"
