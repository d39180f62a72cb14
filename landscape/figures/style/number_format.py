"""Numbers as text: four significant digits, uncertainties with two, powers of ten for extreme values."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 4) -> str:
    """Return a number with `digits` significant digits: 0.01234, 1234, 1.234×10⁻⁵, ∞."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if not -4 <= exponent < 6:
        return f"{_fixed(value / 10.0**exponent, digits - 1)}{_power(exponent)}"
    return _fixed(value, max(digits - 1 - exponent, 0))


def uncertain(value: float, error: float, digits: int = 4) -> str:
    """Return `value ± error`, rounded by the error's two digits; the value alone where there is no error."""
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return number(value, digits)
    exponent = math.floor(math.log10(max(abs(value), error)))
    decimals = max(1 - math.floor(math.log10(error)), 0)
    if decimals + exponent > 4:  # known better than anyone reads
        return f"{number(value, 5)} ± {number(error, 2)}"
    if -4 <= exponent < 6:
        return f"{_fixed(value, decimals)} ± {_fixed(error, decimals)}"
    factor, decimals = 10.0**exponent, max(decimals + exponent, 0)
    return f"({_fixed(value / factor, decimals)} ± {_fixed(error / factor, decimals)}){_power(exponent)}"


def percent(value: float) -> str:
    """Return a fraction as a percentage with two decimals."""
    return f"{_fixed(100 * value, 2)}%" if math.isfinite(value) else number(value)


def share(value: float) -> str:
    """Return a fraction as a percentage with two significant digits: 0.91%, 12%."""
    return f"{number(100 * value, 2)}%"


def signed(words: str) -> str:
    """Return a number's text with a plus where it is positive."""
    value = words.removeprefix("(").partition(" ")[0]
    return f"+{words}" if value[0] != _MINUS and any(c in "123456789∞" for c in value.partition("×")[0]) else words


def points(value: float, error: float = math.nan) -> str:
    """Return a difference of fractions in percentage points, with its error where it is known: +1.20 ± 0.32 pp."""
    known = math.isfinite(error) and error > 0
    words = _fixed(100 * value, 2) + (f" ± {_fixed(100 * error, 2)}" if known else "")
    return f"{signed(words)} pp"


def tick(value: float) -> str:
    """Return a short label of an axis tick: 0.05, 20, 1000, 10⁵."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    if -4 < exponent < 5:
        return f"{value:.10g}".replace("-", _MINUS)
    mantissa = f"{value / 10.0**exponent:.3g}"
    return _power(exponent).removeprefix("×") if mantissa == "1" else f"{mantissa}{_power(exponent)}"


def duration(seconds: float) -> str:
    """Return a time span in the two units that matter: 48 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{number(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _fixed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", _MINUS)


def _power(exponent: int) -> str:
    return f"×10{str(exponent).translate(_SUPERSCRIPT)}"
