"""Arithmetic on weights: the bits of tensor-by-tensor arithmetic, in few launches."""

import torch

from landscape.analysis.objective.weights import Weights, displaced, dot

SHAPES = {"a": (3, 4), "b": (5,), "c": (), "d": (0,), "e": (2, 3, 3, 3)}


def draw(seed: int, *names: str) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(SHAPES[name], generator=generator) for name in names}


def test_moving_gives_the_bits_of_one_tensor_at_a_time() -> None:
    origin, first, second = draw(0, *SHAPES), draw(1, *SHAPES), draw(2, "e", "b")
    found = displaced(origin, [(0.1, first), (-1 / 3, second), (2.0, {})])
    assert list(found) == list(origin)
    for name, w in origin.items():
        expected = w + 0.1 * first[name]
        if name in second:
            expected = expected + (-1 / 3) * second[name]
        assert torch.equal(found[name], expected)


def test_inner_products_are_summed_in_float64() -> None:
    a, b = draw(3, *SHAPES), draw(4, *SHAPES)
    assert dot(a, b) == sum(float(a[name].double().flatten() @ b[name].double().flatten()) for name in a)
    assert dot({}, {}) == 0
