"""Numbers survive a terminal without Unicode."""

import pytest

from landscape.cli.terminal.encoding import HANDLER
from landscape.stats.number_format import change, number, uncertain


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
def test_signs_errors_and_exponents_are_kept(encoding: str) -> None:
    def shown(text: str) -> str:
        return text.encode(encoding, HANDLER).decode(encoding).replace("×", "x").replace("±", "+/-").replace("∞", "inf")

    assert shown(number(-0.5)) == "-0.5000"
    assert shown(change(0.012, 0.003)) == "+0.0120 +/- 0.0030"
    assert shown(number(1.234e-15)).replace("¹", "1") in ("1.234x10^-15", "1.234x10^-1^5")
    assert shown(uncertain(float("-inf"))) == "-inf"
    assert "?" not in shown(number(2.5e23))


def test_other_characters_become_question_marks() -> None:
    assert "λ_max".encode("ascii", HANDLER) == b"?_max"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", HANDLER)
