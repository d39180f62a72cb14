"""Numbers on terminals without Unicode: a minus sign or an exponent must not be lost."""

from __future__ import annotations

import codecs

HANDLER = "landscape_ascii"  # name of the error handler, for `errors=`

_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_ASCII = {"−": "-", "±": "+/-", "×": "x", "∞": "inf", "–": "-", "…": "..."}


def _transliterate(error: UnicodeError) -> tuple[str, int]:
    """Replace what a number is made of by ASCII, and other characters by "?"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text, exponent = "", False
    for character in error.object[error.start : error.end]:
        plain = character.translate(_SUPERSCRIPTS)
        if plain != character:
            text += plain if exponent else f"^{plain}"
        else:
            text += _ASCII.get(character, "?")
        exponent = plain != character
    return text, error.end


codecs.register_error(HANDLER, _transliterate)
