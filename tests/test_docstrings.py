"""Every public function and class shows one runnable example; doctest runs them with the other tests."""

import inspect

import pytest

import landscape

WITHOUT: dict[str, str] = {}  # name -> reason that an example is not possible
NAMES = [name for name in landscape.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_an_example_that_uses_it(name: str) -> None:
    text = inspect.getdoc(getattr(landscape, name)) or ""
    if name in WITHOUT:
        assert ">>>" not in text, f"{name} has an example; remove it from WITHOUT"
        return
    code = [line for line in text.splitlines() if line.lstrip().startswith((">>>", "..."))]
    assert any(name in line for line in code) or "landscape.errors." + name in text


def test_reasons_are_of_public_names() -> None:
    assert set(WITHOUT) <= set(NAMES)
