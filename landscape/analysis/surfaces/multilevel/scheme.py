"""Levels of a multilevel estimate: their numbers of examples and costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

BASE_EXAMPLES = 400  # per split, of the cheapest level, at which every point is measured
MAX_RATIO = 6.0  # of the examples of consecutive levels


@dataclass(frozen=True)
class Scheme:
    """Levels, finest first: all the examples, nested subsets, and half of the smallest subset.

    The half is a by-product of the cheapest pass; its difference from the whole shows the covariance of such
    differences over the plane.

    Attributes:
        sizes: examples at level 1, 2, ..., by split.
        overhead: examples of every pass besides those measured, such as those BatchNorm is recalibrated on.
    """

    sizes: Mapping[str, tuple[int, ...]]
    overhead: int

    @property
    def base(self) -> int:
        """Index of the cheapest level, at which every point is measured; the last level is half of it."""
        return len(next(iter(self.sizes.values()))) - 2

    @property
    def examples(self) -> list[int]:
        """Examples of a pass at each level, all splits together."""
        return [sum(column) for column in zip(*self.sizes.values(), strict=True)]

    @property
    def costs(self) -> list[int]:
        """Evaluations of a pass at each level down to the base."""
        return [examples + self.overhead for examples in self.examples[: self.base + 1]]


def choose_scheme(examples: Mapping[str, int], *, overhead: int = 0) -> Scheme:
    """Return the levels for splits of these sizes: equal ratios from `BASE_EXAMPLES` to all the examples.

    >>> choose_scheme({"train": 50_000}).sizes["train"]
    (50000, 10000, 2000, 400, 200)
    """
    largest = max(examples.values())
    cheapest = min(BASE_EXAMPLES, max(largest // 8, 2))
    steps = max(1, math.ceil(math.log(largest / cheapest) / math.log(MAX_RATIO) - 0.2))
    ladder = [round(cheapest * (largest / cheapest) ** (1 - i / steps)) for i in range(steps)]
    ladder += [cheapest, max(cheapest // 2, 1)]
    return Scheme({split: tuple(min(n, size) for size in [n, *ladder[1:]]) for split, n in examples.items()}, overhead)
