"""Height and colour scale that figures share: range shown, values cut off, contour levels.

Measured values are never changed; a scale says how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from landscape.results import Floats
from landscape.stats.number_format import number, tick

WIDE = 30.0  # from this ratio of largest to smallest on, heights are logarithmic unless asked otherwise
DECADES = 8.0  # a logarithmic scale never reaches further down than this below its top
LEVELS = 16  # at most about this many contour levels


@dataclass(frozen=True)
class Scale:
    """Mapping of values to heights (their log10 if `log`), between `bottom` and `top`."""

    log: bool
    bottom: float  # lowest height shown
    top: float  # highest height shown; what lies above is cut off
    step: float  # between contour levels, in heights
    ticks: tuple[float, ...]  # heights that carry a label
    labels: tuple[str, ...]
    cut: bool = False  # whether there are values above the top

    @property
    def start(self) -> float:
        """The lowest contour level: a multiple of the step, so that decades are among them."""
        return math.floor(self.bottom / self.step) * self.step + self.step

    @property
    def frame(self) -> tuple[float, float]:
        """Lowest and highest height of a frame around the picture, with some room except where values are cut off."""
        room = 0.03 * (self.top - self.bottom)
        return self.bottom - room, self.top + (0.0 if self.cut else room)

    def heights(self, values: Floats) -> Floats:
        """Return the heights of `values`; what is off the scale stays off it, but near: +inf becomes a steep wall."""
        reach = 20 * (self.top - self.bottom)
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.log10(values) if self.log else np.array(values, dtype=np.float64)
        heights = np.where(np.isneginf(heights) | (self.log & (values <= 0)), self.bottom, heights)
        return np.clip(heights, self.bottom if self.log else self.bottom - reach, self.top + reach)

    def value(self, height: float) -> float:
        """Return the value at a height."""
        return float(10.0**height) if self.log else height

    def note(self, arrays: Iterable[Floats]) -> str:
        """Return a sentence on the points off the scale; empty if there are none."""
        values = np.concatenate([np.ravel(array) for array in arrays])
        above = _above(self, values)
        if not above:
            return ""
        largest = number(float(np.nanmax(values)), 3)
        points = "1 point lies" if above == 1 else f"{above:,} of {len(values):,} points lie"
        limit = tick(_rounded(self.value(self.top)))
        return f"{points} above {limit}, off the scale of this picture (largest: {largest})."


def choose_scale(
    arrays: Sequence[Floats],
    *,
    log: bool | None = None,
    clip: float | None = None,
    automatic: bool = True,
    signed: bool = False,
    percent: bool = False,
) -> Scale:
    """Return one scale for all arrays on which the basin stays visible even if corners diverge.

    Args:
        arrays: The values to be drawn; inf and NaN may be among them.
        log: Logarithmic heights; None chooses them where the values span a factor of 30 or more.
        clip: The highest value shown; None chooses one.
        automatic: Whether None may choose a `clip` below the largest value.
        signed: Make the scale symmetric around zero (for gaps); never logarithmic.
        percent: Label the ticks of fractions as percentages.
    """
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not len(finite):
        finite = np.ones(1)
    positive = finite[finite > 0]
    loggable = not signed and bool(len(positive)) and float(finite.min()) >= 0
    if log is None:
        log = loggable and _highest(arrays, finite, automatic=automatic) > WIDE * float(positive.min())
    if signed:
        most = max(_highest([np.abs(array) for array in arrays], np.abs(finite), automatic=automatic), 1e-12)
        top = clip if clip is not None else most
        bottom = -top
    elif log and loggable:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.log10(array) for array in arrays]
        chosen = _highest(logs, np.log10(positive), automatic=automatic, log=True)
        top = math.log10(clip) if clip is not None else chosen
        bottom = max(math.log10(float(positive.min())), top - DECADES)
    else:
        top = clip if clip is not None else _highest(arrays, finite, automatic=automatic)
        bottom = float(finite.min())
    scale = _scale(bottom, max(top, bottom), log=log and loggable, percent=percent)
    return replace(scale, cut=any(_above(scale, array) for array in arrays))


def _above(scale: Scale, values: Floats) -> int:
    """Count the values that a scale cuts off."""
    top = scale.value(scale.top)
    with np.errstate(invalid="ignore"):
        return int(np.sum(values > top + 1e-9 * abs(top)))


def clips(arrays: Sequence[Floats], count: int = 16) -> list[float]:
    """Return height limits to offer, ascending: 1, 2, 5 and their decades up to the largest value, which ends them."""
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not len(finite) or finite.max() <= 0:
        return []
    low, high = max(float(finite.min()), 1e-9), float(finite.max())
    low = max(low, high * 1e-12) * 1.5
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        stops = [mantissa * 10.0**decade for decade in decades for mantissa in mantissas]
        stops = [stop for stop in stops if low <= stop < high]
        if len(stops) < count:
            break
    return [*stops[-count:], high]


def _highest(arrays: Sequence[Floats], finite: Floats, *, automatic: bool, log: bool = False) -> float:
    """Return the largest finite height, or where a few diverge so far that they would flatten the rest, a lower one.

    That is a box plot's fence above the upper quartile, wide enough to show a quadratic bowl whole: its largest value
    lies 1.7 interquartile ranges above the upper quartile where it is round (0.9 where it is a valley). Where a quarter
    of the plane or more diverges (inf counts), the lower quartile sets it: a valley rises 16 times as high.
    """
    highest = float(finite.max())
    if not automatic:
        return highest
    limits = []
    for array in arrays:
        values = array[array > -np.inf]
        if not len(values):
            continue
        low = float(values.min())
        lower, upper = (float(np.quantile(values, share, method="lower")) for share in (0.25, 0.75))
        if upper - low <= 30 * (lower - low):
            limits.append(upper + (1.5 if log else 1.75) * (upper - lower))
        else:
            limits.append(low + (4 if log else 16) * (lower - low))
    limit = max(limits, default=highest)
    if not float(finite.min()) < limit < highest:
        return highest
    if limit <= 0 and not log:
        return limit
    fine = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    rounded = math.log10(_nice(10.0**limit, fine)) if log else _nice(limit, fine)
    return min(rounded, highest)


def _scale(bottom: float, top: float, *, log: bool, percent: bool = False) -> Scale:
    if top - bottom <= 1e-9 * max(abs(top), abs(bottom), 1e-3):  # a constant: give it some room
        room = 0.5 if log else max(abs(bottom), 1e-3) * 0.1
        bottom, top = bottom - room, bottom + room
    step = _log_step(top - bottom) if log else _nice((top - bottom) / LEVELS)
    ticks = _log_ticks(bottom, top) if log else _multiples(bottom, top, _nice((top - bottom) / 6))
    values = [_rounded(10.0**height if log else height) for height in ticks]
    labels = tuple(f"{tick(100 * value)}%" if percent else tick(value) for value in values)
    return Scale(log=log, bottom=bottom, top=top, step=step, ticks=ticks, labels=labels)


def _nice(step: float, mantissas: tuple[float, ...] = (1, 2, 2.5, 5)) -> float:
    """Return the next larger one of these mantissas times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(mantissa * power for mantissa in (*mantissas, 10) if mantissa * power >= step * (1 - 1e-9))


def _log_step(decades: float) -> float:
    return next((step for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0) if decades / step <= LEVELS), 1.0)


def _log_ticks(bottom: float, top: float) -> tuple[float, ...]:
    decades = range(math.floor(bottom), math.ceil(top) + 1)
    if top - bottom < 0.5:  # too few of 1, 2 and 5: label plain values
        low, high = 10.0**bottom, 10.0**top
        return tuple(math.log10(value) for value in _multiples(low, high, _nice((high - low) / 5)) if value > 0)
    mantissas = (1, 2, 5) if top - bottom < 2.2 else (1,)
    every = 1 if top - bottom < 7 else 2
    heights = [decade + math.log10(mantissa) for decade in decades for mantissa in mantissas if decade % every == 0]
    return tuple(height for height in heights if bottom - 1e-9 <= height <= top + 1e-9)


def _multiples(bottom: float, top: float, step: float) -> tuple[float, ...]:
    first, last = math.ceil(bottom / step - 1e-9), math.floor(top / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
