"""The list of cases in README.md names tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (TESTS / "cases" / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_the_test_of_a_case_exists(path: str, name: str) -> None:
    assert f"def {name}(" in (TESTS / path).read_text(encoding="utf-8")
