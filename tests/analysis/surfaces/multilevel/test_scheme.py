"""Sizes of nested levels."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from landscape.analysis.surfaces.multilevel.scheme import choose_scheme


@given(st.integers(2, 10**6), st.integers(1, 10**6), st.integers(0, 1000))
def test_levels_are_nested_from_all_the_examples_down(train: int, test: int, overhead: int) -> None:
    found = choose_scheme({"train": train, "test": test}, overhead=overhead)
    for split, n in (("train", train), ("test", test)):
        sizes = found.sizes[split]
        assert sizes[0] == n
        assert all(a >= b >= 1 for a, b in pairwise(sizes))
    largest = found.sizes["train" if train >= test else "test"]
    assert len(largest) == found.base + 2
    assert all(a <= 10 * b for a, b in pairwise(largest))
    assert len(found.costs) == found.base + 1
    assert found.costs[0] == train + test + overhead


def test_the_levels_of_cifar10() -> None:
    assert choose_scheme({"train": 50_000}).sizes["train"] == (50_000, 10_000, 2000, 400, 200)
