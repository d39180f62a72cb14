"""The critical step size: the smallest one at which the loss rises along the optimizer's update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from landscape.analysis.objective.weights import displaced
from landscape.monitoring.measures.protocol import Probe, Reading


@dataclass(frozen=True)
class CriticalStep:
    """Critical learning rate η_c and critical sharpness 2/η_c (Kalra et al. 2026, arXiv:2601.16979).

    η_c is the smallest step size along the update that was taken at which the loss on the monitor's examples exceeds
    the loss before the update. A line search brackets it by doubling or halving, from the last probe's value on, and
    bisects the bracket: six forward passes once the first probe has found it. On a quadratic loss and for gradient
    descent 2/η_c = gᵀHg / gᵀg, at most λ_max.

    >>> CriticalStep(passes=6).parameters()
    {'tolerance': 0.0625, 'passes': 6}

    Args:
        tolerance: relative width of the final bracket.
        passes: forward passes at most.
    """

    tolerance: float = 1 / 16
    passes: int = 9

    name: ClassVar[str] = "critical_step"
    needs_previous: ClassVar[bool] = True

    def parameters(self) -> Mapping[str, Any]:
        """Return tolerance and number of passes."""
        return {"tolerance": self.tolerance, "passes": self.passes}

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return η_c and 2/η_c, each with half the width of its bracket; NaN without an update, or if η_c is not found.

        η_c is not found if the update is so small, or so flat, that the loss does not rise within the passes.
        """
        step_size, before = probe.learning_rate, probe.previous
        if before is None or step_size <= 0:
            return _readings(math.nan, math.nan)
        update = {name: w - before.origin[name] for name, w in probe.objective.origin.items()}
        base = before.loss()

        def rises(factor: float) -> bool:
            # Not "greater": a loss that diverges to NaN counts as risen.
            return not before.loss(displaced(before.origin, [(factor, update)])) <= base

        guess = memory.get("step size", 2 * step_size) / step_size
        low, high = (step_size * end for end in bracket(rises, guess, self.tolerance, self.passes - 1))
        memory["step size"] = (low + high) / 2 if low > 0 and math.isfinite(high) else max(low, 0.0) or high
        return _readings(low, high)


def bracket(rises: Callable[[float], bool], guess: float, tolerance: float, most: int) -> tuple[float, float]:
    """Return an interval that contains the smallest x > 0 at which `rises` turns true, if it does so once.

    Doubles or halves a guess until it is enclosed, then bisects until the interval is narrower than `tolerance` times
    its upper end, or `most` evaluations are spent. (0, x) or (x, inf) if they are spent before it is enclosed.

    >>> bracket(lambda x: x > 3.0, guess=1.0, tolerance=0.3, most=10)
    (3.0, 4.0)
    """
    if rises(guess):
        low, high, used = 0.0, guess, 1
        while low == 0.0 and used < most:
            low, high = (0.0, high / 2) if rises(high / 2) else (high / 2, high)
            used += 1
    else:
        low, high, used = guess, math.inf, 1
        while math.isinf(high) and used < most:
            low, high = (low, 2 * low) if rises(2 * low) else (2 * low, math.inf)
            used += 1
    if low == 0.0 or math.isinf(high):
        return low, high
    while high - low > tolerance * high and used < most:
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) else (middle, high)
        used += 1
    return low, high


def _readings(low: float, high: float) -> list[Reading]:
    """Return the centres and half-widths of the intervals of η and 2/η from `low` to `high`; NaN for an open one."""
    if not (low > 0 and math.isfinite(high)):
        low = high = math.nan
    return [
        Reading("critical_step_size", (low + high) / 2, (high - low) / 2, "bound"),
        Reading("critical_sharpness", 1 / low + 1 / high, 1 / low - 1 / high, "bound"),
    ]
