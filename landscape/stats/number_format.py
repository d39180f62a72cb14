"""Number and duration formats of the terminal, the report and the figures: four digits, an uncertainty with two."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"
_MOST_DIGITS = 6  # of a value with an error


def number(value: float, digits: int = 4) -> str:
    """Return a number with `digits` significant digits.

    >>> number(0.0123456), number(1234.5), number(1.2345e-5), number(math.inf)
    ('0.01235', '1234', '1.234×10⁻⁵', '∞')
    """
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


def uncertain(value: float, error: float = math.nan, digits: int = 4) -> str:
    """Return `value ± error`, rounded to two digits of the error; the value alone if there is no error.

    Values have at most six significant digits; an error below the last of them is rounded up to it.

    >>> uncertain(0.0123456, 0.00034), uncertain(12.5), uncertain(165.0577, 1e-5)
    ('0.01235 ± 0.00034', '12.50', '165.058 ± 0.001')
    """
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return number(value, digits)
    exponent = math.floor(math.log10(max(abs(value), error)))
    decimals, most = 1 - math.floor(math.log10(error)), _MOST_DIGITS - 1 - exponent
    if decimals > most:
        decimals, error = most, math.ceil(error * 10.0**most) / 10.0**most
    if -4 <= exponent < 6:
        decimals = max(decimals, 0)
        return f"{_fixed(value, decimals)} ± {_fixed(error, decimals)}"
    factor, decimals = 10.0**exponent, max(decimals + exponent, 0)
    return f"({_fixed(value / factor, decimals)} ± {_fixed(error / factor, decimals)}){_power(exponent)}"


def setting(value: float) -> str:
    """Return a number that was chosen rather than measured in its shortest form, at most five digits.

    >>> setting(0.1), setting(1e-05)
    ('0.1', '1e−05')
    """
    return number(value) if not math.isfinite(value) else f"{value:.5g}".replace("-", _MINUS)


def percent(value: float, error: float = math.nan) -> str:
    """Return a fraction as a percentage with two decimals, with its error if there is one.

    >>> percent(0.957), percent(0.957, 0.0012)
    ('95.70%', '95.70 ± 0.12%')
    """
    if not math.isfinite(value):
        return number(value)
    plus_minus = f" ± {_fixed(100 * error, 2)}" if math.isfinite(error) else ""
    return f"{_fixed(100 * value, 2)}{plus_minus}%"


def share(value: float) -> str:
    """Return a fraction as a percentage with two significant digits.

    >>> share(0.0091), share(0.12)
    ('0.91%', '12%')
    """
    return f"{number(100 * value, 2)}%"


def signed(text: str) -> str:
    """Return a number's text with a plus if it is positive.

    >>> signed("0.012 ± 0.003"), signed("0")
    ('+0.012 ± 0.003', '0')
    """
    value = text.removeprefix("(").partition(" ")[0]
    return f"+{text}" if value[0] != _MINUS and any(c in "123456789∞" for c in value.partition("×")[0]) else text


def points(value: float, error: float = math.nan) -> str:
    """Return a difference of fractions in percentage points, with its error if it is known.

    >>> points(0.012, 0.0032)
    '+1.20 ± 0.32 pp'
    """
    if not math.isfinite(value):
        return number(value)
    known = math.isfinite(error) and error > 0
    text = _fixed(100 * value, 2) + (f" ± {_fixed(100 * error, 2)}" if known else "")
    return f"{signed(text)} pp"


def measured(value: float, error: float = math.nan, *, fraction: bool = False) -> str:
    """Return a measured value with its error: a percentage if it is a fraction of one, such as an accuracy."""
    return percent(value, error) if fraction else uncertain(value, error)


def change(value: float, error: float = math.nan, *, fraction: bool = False) -> str:
    """Return a difference with its sign and error: in percentage points if it is one of fractions."""
    return points(value, error) if fraction else signed(uncertain(value, error))


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
    """Return a time span in its two largest units.

    >>> duration(0.4), duration(59.7), duration(90), duration(7500)
    ('0.40 s', '1 min 0 s', '1 min 30 s', '2 h 5 min')
    """
    if round(seconds) < 60:
        return f"{number(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _fixed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", _MINUS)


def _power(exponent: int) -> str:
    return f"×10{str(exponent).translate(_SUPERSCRIPT)}"
