"""The parts of tolerance mode: random fields against dense Gaussian conditioning, levels against plain loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.surfaces.levels import Levels, stratified_estimate
from landscape.analysis.surfaces.multilevel.scheme import Scheme, choose_scheme
from landscape.errors import LandscapeError

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
