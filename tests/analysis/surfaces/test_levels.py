"""The parts of tolerance mode: random fields against dense Gaussian conditioning, levels against plain loops."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.surfaces.levels import Levels, stratified_estimate
from landscape.analysis.surfaces.multilevel.allocation import PassAllocator, quantile
from landscape.analysis.surfaces.multilevel.field import Field, Kernel
from landscape.analysis.surfaces.multilevel.scheme import Scheme, choose_scheme
from landscape.analysis.surfaces.multilevel.tolerance import conformal, held_out, relative_errors
from landscape.errors import LandscapeError


def grid(n: int) -> NDArray[Any]:
    u = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1).reshape(-1, 2)


# ---- fields


def test_a_field_s_mean_and_variance_are_those_of_gaussian_process_regression() -> None:
    places, lengths, nugget = grid(6), np.array([0.3, 0.5]), 0.02
    random = np.random.default_rng(0)
    amplitude, values = random.uniform(0.5, 2.0, 36), random.normal(size=36)
    chosen = [3, 17, 30, 8, 21]
    field = Field(Kernel(places, lengths, nugget), amplitude)
    for place in chosen:
        field.add(place)
    mean, scale = field.posterior(values)
    # The field divided by its amplitude is stationary: what scikit-learn knows.
    kernel = Matern(lengths, nu=2.5) + WhiteKernel(nugget)
    known = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(places[chosen], (values / amplitude)[chosen])
    expected, deviation = known.predict(places, return_std=True)
    others = np.setdiff1d(np.arange(36), chosen)
    np.testing.assert_allclose(mean[others], (amplitude * expected)[others], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(field.variance)[others], (amplitude * deviation)[others], rtol=1e-9)
    np.testing.assert_allclose(mean[chosen], values[chosen], rtol=1e-9)
    np.testing.assert_allclose(field.variance[chosen], 0, atol=1e-12)
    covariance = kernel(places[chosen])
    y = (values / amplitude)[chosen]
    assert scale**2 == pytest.approx((4 + y @ np.linalg.solve(covariance, y)) / (4 + 5))


def test_knowing_more_lowers_the_variance_by_the_squared_column() -> None:
    field = Field(Kernel(grid(5), np.array([0.2, 0.2]), 0.0), np.ones(25))
    field.add(12)
    trial = field.copy()
    before, column = trial.variance, trial.column(3)
    trial.add(3)
    np.testing.assert_allclose(before - trial.variance, column**2, atol=1e-12)
    np.testing.assert_array_equal(field.variance, before)  # the copy learned alone
    assert 3 in trial
    assert 3 not in field


def test_lengths_are_found_where_there_are_enough_values() -> None:
    places = grid(17)
    kernel = Matern([0.15, 0.6], nu=2.5)(places) + 1e-8 * np.eye(len(places))
    values = np.linalg.cholesky(kernel) @ np.random.default_rng(1).normal(size=len(places))
    values[5] = np.nan  # not known there
    found = Kernel.fit(places, 3 * values)
    assert found is not None
    np.testing.assert_allclose(found.lengths, [0.15, 0.6], rtol=0.35)
    assert found.nugget < 1e-2
    assert Kernel.fit(places, np.zeros(len(places))) is None
    assert Kernel.fit(places[:5], values[:5]) is None


# ---- allocation


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


# ---- schemes


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


# ---- levels of an objective


N = 60
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0)).double()
Y = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(1))


def objective(**options: Any) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return Objective(
        network, "cross_entropy", options.pop("data", (X, Y)), device="cpu", precision="float64", **options
    )


def means(found: Objective, split: str = "train") -> tuple[NDArray[Any], NDArray[Any]]:
    """Return losses and targets of a split's examples."""
    losses = found.per_example(split=split)
    targets = torch.cat([t for _, t, _ in found.batches(split)])
    return losses, targets.numpy()


def test_levels_are_nested_stratified_subsets_and_their_sums_those_of_a_plain_loop() -> None:
    whole = objective()
    plan = Scheme({"train": (N, 24, 12, 6)}, 0)
    levels = Levels(whole, plan, seed=3)
    seen: list[set[tuple[float, ...]]] = []
    for level in (1, 2):
        part = levels.objective(level)
        losses, targets = means(part)
        assert len(losses) == plan.sizes["train"][level]
        share = np.bincount(targets, minlength=3) / len(targets)
        np.testing.assert_allclose(share, np.bincount(Y, minlength=3) / N, atol=1 / len(targets))
        seen.append({tuple(x.tolist()) for inputs, _, _ in part.batches() for x in inputs})
        sums = levels.sums(level, whole.origin, None, "float64", batch_size=5)["train"]
        found = levels.estimates(level, "train", sums)
        loss, accuracy = found[0]
        assert loss.value == pytest.approx(losses.mean(), rel=1e-12)
        assert loss.n == len(losses)
        within = sum(losses[targets == c].var() * (targets == c).sum() for c in range(3))
        assert loss.stderr == pytest.approx(math.sqrt(within / (len(losses) - 3) / len(losses)), rel=1e-9)
        assert 0 <= accuracy.value <= 1
        assert len(found) == (2 if level == plan.base else 1)
        if level == plan.base:  # the half comes with it
            assert found[1][0].n == 6
            half = Levels(whole, Scheme({"train": (N, 6, 3)}, 0), seed=3).objective(1)
            assert found[1][0].value == pytest.approx(half.loss(), rel=1e-12)
    assert seen[1] < seen[0]


def test_a_split_smaller_than_a_level_is_taken_whole() -> None:
    whole = objective(data={"train": (X, Y), "test": (X[:10], Y[:10])})
    levels = Levels(whole, choose_scheme({"train": N, "test": 10}), seed=0)
    sums = levels.sums(levels.scheme.base, whole.origin, None, "float64", batch_size=50)
    found = levels.estimates(levels.scheme.base, "test", sums["test"])
    size = levels.scheme.sizes["test"][levels.scheme.base]
    assert found[0][0].n == size
    assert found[0][0].value == pytest.approx(means(levels.objective(levels.scheme.base), "test")[0].mean())


def test_ready_batches_and_targets_that_are_no_classes_will_do() -> None:
    ready = [(X[i : i + 7], Y[i : i + 7]) for i in range(0, N, 7)]
    plan = Scheme({"train": (N, 20, 10)}, 0)
    values = [Levels(objective(data=data), plan, seed=1).objective(1).loss() for data in ((X, Y), {"train": ready})]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    regression = Objective(nn.Linear(4, 1), "mse", X.float(), X[:, :1].float(), device="cpu")
    assert Levels(regression, plan, seed=1).objective(1).data["train"].examples == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batchnorm": "batch"}, "the loss depends on the batches"),
        ({"loss": lambda o, t: nn.functional.cross_entropy(o, t)}, "gives one mean per batch"),
    ],
)
def test_losses_of_whole_batches_are_refused(change: dict[str, Any], message: str) -> None:
    network = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    options = {"loss": "cross_entropy", **change}
    found = Objective(network, options.pop("loss"), X, Y, device="cpu", precision="float64", **options)
    with pytest.raises(LandscapeError, match=message):
        Levels(found, Scheme({"train": (N, 20, 10)}, 0), seed=0)


def test_a_stratified_mean_s_error_is_what_draws_scatter_by() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(m, 1.0, 400) for m in (0.0, 5.0, 10.0)])
    draws, errors = [], []
    for _ in range(2000):
        sample = [random.choice(values[400 * c : 400 * (c + 1)], 6, replace=False) for c in range(3)]
        table = torch.tensor([[s.sum(), np.square(s).sum(), len(s)] for s in sample], dtype=torch.float64)
        found = stratified_estimate(table)
        draws.append(found.value)
        errors.append(found.stderr)
    assert np.mean(errors) == pytest.approx(np.std(draws), rel=0.05)


def test_divergence_and_unknown_spread_are_kept() -> None:
    nan, inf = float("nan"), float("inf")
    assert stratified_estimate(torch.tensor([[inf, inf, 3.0], [1.0, 1.0, 2.0]])).value == inf
    assert math.isnan(stratified_estimate(torch.tensor([[6.0, nan, 3.0]])).stderr)
    single = stratified_estimate(torch.tensor([[1.0, 1.0, 1.0], [3.0, 9.0, 1.0]]))  # one example of each class
    assert single.stderr == pytest.approx(1.0)


# ---- held-out points and their errors


@given(st.integers(1, 200), st.integers(0, 10))
@settings(max_examples=30)
def test_the_conformal_error_bounds_the_share_it_promises(count: int, seed: int) -> None:
    errors = np.random.default_rng(seed).exponential(size=count)
    bound = conformal(errors, 0.95)
    if count < 19:
        assert bound == math.inf
    else:  # a further, exchangeable error is as likely to fall into each of the gaps between these
        assert (errors <= bound).sum() / (count + 1) >= 0.95 > ((errors < bound).sum()) / (count + 1)


def test_each_point_is_as_likely_to_be_held_out_and_they_spread() -> None:
    places = grid(12)
    counts = np.zeros(144)
    for seed in range(1500):
        chosen = held_out(places, 16, seed)
        assert len(set(chosen.tolist())) == 16
        counts[chosen] += 1
        quarters = np.bincount((places[chosen] >= 0.5) @ np.array([1, 2]), minlength=4)
        assert quarters.min() >= 2
    np.testing.assert_allclose(counts / 1500, 16 / 144, atol=0.04)


def test_relative_errors_count_divergence_alike_as_none() -> None:
    nan, inf = float("nan"), float("inf")
    estimate, exact = np.array([1.1, inf, nan, inf, 1.0, 0.0, 1.0]), np.array([1.0, inf, nan, 1.0, nan, 0.0, 0.0])
    np.testing.assert_allclose(relative_errors(estimate, exact), [0.1, 0, 0, inf, inf, 0, inf])
