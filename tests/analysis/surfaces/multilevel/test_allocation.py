"""Allocation of passes against dense variances."""

from typing import Any

import numpy as np
import pytest
from cases.grids import grid
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import Matern

from landscape.analysis.surfaces.multilevel.allocation import PassAllocator, quantile
from landscape.analysis.surfaces.multilevel.field import Field, Kernel


def test_a_quantile_of_normal_errors_of_several_sizes() -> None:
    deviations = np.array([0.0, 0.5, 1.0, 3.0])
    draws = np.abs(np.random.default_rng(0).normal(size=(200_000, 4)) * deviations)
    assert quantile(deviations) == pytest.approx(np.quantile(draws, 0.95), rel=0.01)
    assert quantile(np.zeros(3)) == 0


def search(amplitudes: list[NDArray[Any]], costs: list[float], **changes: Any) -> PassAllocator:
    places = grid(5)
    fields = [Field(Kernel(places, np.array([0.2, 0.2]), 1e-3), a) for a in amplitudes]
    known = np.zeros((len(costs), 25), dtype=bool)
    known[-1] = True
    options = {"known": known, "barred": np.zeros(25, dtype=bool), **changes}
    return PassAllocator([(fields, np.ones((len(fields), 1)))], costs, **options)


def test_the_first_choice_is_the_largest_drop_of_variance_for_its_cost() -> None:
    random = np.random.default_rng(2)
    amplitudes = [random.uniform(0.5, 1, 25), random.uniform(1.5, 2, 25)]  # the cheaper correction is the larger one
    costs = [100.0, 10.0, 1.0]
    chosen = search(amplitudes, costs).step()
    assert chosen is not None
    assert chosen.level == 1
    dense = [np.outer(a, a) * (Matern(0.2, nu=2.5)(grid(5)) + 1e-3 * np.eye(25)) for a in amplitudes]
    prior = np.diag(dense[1])
    assert chosen.point == int(np.argmax(prior))
    # Where all the examples cost next to nothing more, they settle both corrections at once.
    assert search(amplitudes, [0.01, 1.0, 1.0]).step().level == 0  # type: ignore[union-attr]


def test_points_held_out_are_never_chosen_on_all_examples_and_the_search_ends() -> None:
    barred = np.arange(25) < 20
    found = search([np.ones(25), np.ones(25)], [100.0, 10.0, 1.0], barred=barred)
    choices = []
    while (choice := found.step()) is not None:
        choices.append(choice)
    assert {choice.point for choice in choices if choice.level == 0} == set(range(20, 25))
    assert {choice.point for choice in choices if choice.level <= 1} == set(range(25))
    assert len(set(choices)) == len(choices)
    np.testing.assert_allclose(found.deviations()[0, 20:], 0, atol=1e-9)
