"""Number of examples of each level, and cost of a pass over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

CHEAPEST = 400  # examples per split at the level every point is measured at
STEP = 6.0  # how much larger each level is than the next cheaper one, at most


@dataclass(frozen=True)
class Scheme:
    """The levels, finest first: all the examples, nested subsets, and a half of the cheapest of those.

    The half is a by-product of the cheapest pass: how the two differ over the plane shows how such differences vary.
    """

    sizes: Mapping[str, tuple[int, ...]]  # by split: examples at level 1, 2, ...
    overhead: int  # examples that every pass takes beside those it measures

    @property
    def base(self) -> int:
        """Index of the level that every point is measured at; the last one is its half."""
        return len(next(iter(self.sizes.values()))) - 2

    @property
    def examples(self) -> list[int]:
        """Examples of a pass at each level, all splits together."""
        return [sum(column) for column in zip(*self.sizes.values(), strict=True)]

    @property
    def costs(self) -> list[int]:
        """Evaluations of a pass at each level down to the base."""
        return [examples + self.overhead for examples in self.examples[: self.base + 1]]


def scheme(examples: Mapping[str, int], *, overhead: int = 0) -> Scheme:
    """Return the levels for splits of these sizes: equal ratios from `CHEAPEST` to all the examples."""
    largest = max(examples.values())
    cheapest = min(CHEAPEST, max(largest // 8, 2))
    steps = max(1, math.ceil(math.log(largest / cheapest) / math.log(STEP) - 0.2))
    ladder = [round(cheapest * (largest / cheapest) ** (1 - i / steps)) for i in range(steps)]
    ladder += [cheapest, max(cheapest // 2, 1)]
    return Scheme({split: tuple(min(n, size) for size in [n, *ladder[1:]]) for split, n in examples.items()}, overhead)
