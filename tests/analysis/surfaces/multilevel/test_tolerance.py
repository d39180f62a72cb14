"""Surfaces within a tolerance: the error they state is the one they make, and a killed run goes on bit for bit."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cases.grids import grid
from cases.surfaces import surface_in_parts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Grid, Request
from landscape.analysis.surfaces.multilevel.scheme import Scheme
from landscape.analysis.surfaces.multilevel.tolerance import (
    MultilevelEstimates,
    conformal,
    estimate_within,
    held_out,
    relative_errors,
)
from landscape.analysis.surfaces.surface import surface
from landscape.data import stratified_subset
from landscape.errors import LandscapeError
from landscape.results import points_table

N = 2000
LABELS = torch.arange(N) % 4


class World:
    """A plane of 15 by 15 points with the loss of every example at each, and a way to measure means over subsets."""

    def __init__(self, seed: int, *, change: Callable[[NDArray[Any]], NDArray[Any]] | None = None) -> None:
        random = np.random.default_rng(seed)
        axis = np.linspace(-1, 1, 15)
        self.points = [(float(a), float(b)) for b in axis for a in axis]
        xy = np.array(self.points)
        slopes = random.normal(size=(N, 2)) + 2 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[LABELS.numpy()]
        height = xy @ slopes.T + 1.5 * np.square(xy).sum(1)[:, None] + random.normal(-1, 0.7, N)
        self.loss = np.logaddexp(0, 3 * height)
        if change is not None:
            self.loss = change(self.loss)
        self.values = np.stack([self.loss, (height < 0).astype(float)], axis=2)  # (P, N, M)
        self.exact = self.loss.mean(1)
        self.scheme = Scheme({"train": (N, 600, 200, 100)}, 0)
        self.passes: list[Request] = []
        self.subsets = [stratified_subset(LABELS, size, seed).numpy() for size in self.scheme.sizes["train"]]

    def measure(self, requests: Iterable[Request]) -> Iterator[NDArray[Any]]:
        for request in requests:
            self.passes.append(request)
            at_base = request.level == self.scheme.base + 1
            rows = []
            for level in (request.level, request.level + 1)[: 1 + at_base]:
                chosen = self.subsets[level - 1]
                values = self.values[self.points.index((request.alpha, request.beta)), chosen]
                classes = LABELS.numpy()[chosen]
                within = sum(values[classes == c].var(0) * (classes == c).sum() for c in range(4))
                errors = np.sqrt(within / (len(chosen) - 4) / len(chosen))
                for metric, (value, error) in enumerate(zip(values.mean(0), errors, strict=True)):
                    rows.append((request.alpha, request.beta, 0, metric, value, error, len(chosen), level))
            yield points_table(rows)

    def run(
        self, tolerance: float, *, done: NDArray[Any] | None = None, keep: Any = None, seed: int = 0
    ) -> MultilevelEstimates:
        return estimate_within(
            tolerance,
            Grid(self.points, (np.array(self.points) + 1) / 2),
            self.scheme,
            ("loss", "accuracy"),
            measure=self.measure,
            done=points_table([]) if done is None else done,
            keep=keep or (lambda _: None),
            seed=seed,
        )


def column(outcome: MultilevelEstimates, metric: int, name: str = "value") -> NDArray[Any]:
    rows = outcome.rows[outcome.rows["metric"] == metric]
    found: NDArray[Any] = rows[name]
    return found


@pytest.fixture(scope="module")
def world() -> World:
    return World(0)


def test_the_error_it_states_is_the_error_it_makes() -> None:
    stated, true, worst, standard = [], [], [], []
    for seed in range(3):
        made = World(seed)
        outcome = made.run(0.02, seed=seed)
        report = outcome.report
        error = np.abs(column(outcome, 0) / made.exact - 1)
        stated.append(report["measured_95"])
        true.append(np.quantile(error, 0.95))
        worst.append((error.max(), report["measured_worst"]))
        estimated = error > 1e-12
        standard.append((error * made.exact / column(outcome, 0, "stderr"))[estimated])
        assert report["measured_95"] <= 0.02
        assert report["held_out"] == 39
        assert (~estimated).sum() == report["levels"][0]["points"]  # what was measured on all is reported as it is
        assert report["saving"] == pytest.approx(225 * N / sum(made.scheme.costs[r.level - 1] for r in made.passes))
        assert report["saving"] > 1.4  # 39 of 225 points are held out
        assert np.abs(column(outcome, 1) - made.values[..., 1].mean(1)).mean() < 0.02
    assert max(true) <= 0.02
    assert 0.4 < np.mean(true) / np.mean(stated) <= 1.1  # the statement is of points that were left out: a little more
    assert all(found < 4 * told for found, told in worst)
    assert np.sqrt(np.mean(np.square(np.concatenate(standard)))) < 1  # standard errors hold the sampling error, too


def test_each_point_is_measured_once_per_level_and_rows_tell_of_all_examples(world: World) -> None:
    world.passes.clear()
    outcome = world.run(0.03)
    assert len(set(world.passes)) == len(world.passes)
    assert len(outcome.rows) == 225 * 2
    assert (outcome.rows["level"] == 0).all()
    assert (outcome.rows["n"] == N).all()
    levels = outcome.report["levels"]
    assert [level["examples"] for level in levels] == [2000, 600, 200, 100]
    assert [level["points"] for level in levels][2:] == [225, 225]
    counts = [sum(request.level == level for request in world.passes) for level in (1, 2, 3, 4)]
    assert counts == [levels[0]["points"], levels[1]["points"], 225, 0]


def test_a_tighter_tolerance_takes_more(world: World) -> None:
    loose, tight = (world.run(tolerance).report["saving"] for tolerance in (0.1, 0.015))
    assert loose > tight


def test_where_nothing_can_be_saved_all_is_exact(world: World) -> None:
    outcome = world.run(1e-9)
    assert outcome.report["measured_95"] == outcome.report["measured_worst"] == outcome.report["held_out"] == 0
    assert outcome.report["saving"] < 1  # what was tried before is counted
    np.testing.assert_allclose(column(outcome, 0), world.exact, rtol=1e-12)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_run_stopped_anywhere_ends_to_the_bit_as_if_it_had_not(world: World, data: Any) -> None:
    kept: list[NDArray[Any]] = []
    world.passes.clear()
    whole = world.run(0.03, keep=kept.append)
    first = list(world.passes)
    stopped = data.draw(st.integers(0, len(kept)))
    world.passes.clear()
    more: list[NDArray[Any]] = []
    done = np.concatenate([points_table([]), *kept[:stopped]])
    resumed = world.run(0.03, done=done, keep=more.append)
    assert world.passes == first[stopped:]  # the same ones, none twice
    assert resumed.rows.tobytes() == whole.rows.tobytes()
    assert resumed.report == whole.report


def test_results_do_not_depend_on_the_order_that_rows_come_in(world: World) -> None:
    whole = world.run(0.03)
    forward = world.measure
    world.measure = lambda requests: forward(reversed(list(requests)))  # type: ignore[method-assign]
    try:
        backward = world.run(0.03)
    finally:
        del world.measure
    assert backward.rows.tobytes() == whole.rows.tobytes()


def diverging(loss: NDArray[Any]) -> NDArray[Any]:
    """Half of the examples are infinite in one corner, all are NaN in the next, and one example alone at a point."""
    changed = loss.copy()
    changed[:5, ::2] = np.inf
    changed[10:14] = np.nan
    changed[100, 1999] = np.inf
    return changed


def test_divergence_is_reported_where_it_is() -> None:
    made = World(1, change=diverging)
    with np.errstate(invalid="ignore"):
        outcome = made.run(0.05)
    found = column(outcome, 0)
    assert (found[:5] == np.inf).all()
    assert np.isnan(found[10:14]).all()
    rest = np.isfinite(made.exact)
    assert np.quantile(np.abs(found[rest] / made.exact[rest] - 1), 0.95) < 0.05


def test_nothing_is_spent_on_points_that_diverge_on_the_cheapest_subset() -> None:
    """It diverges on all the examples, too: no pass over more of them tells anything."""

    def corner(loss: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([np.full_like(loss[:60], np.inf), loss[60:]])

    made = World(0, change=corner)
    with np.errstate(invalid="ignore"):
        outcome = made.run(0.03)
    assert not [r for r in made.passes if r.level == 2 and made.points.index((r.alpha, r.beta)) < 60]
    assert (column(outcome, 0)[:60] == np.inf).all()
    assert outcome.report["saving"] > 2
    assert np.quantile(np.abs(column(outcome, 0)[60:] / made.exact[60:] - 1), 0.95) < 0.04


@pytest.mark.parametrize("shift", [-5.0, 0.0])
def test_losses_that_are_not_positive_are_compared_by_differences(shift: float) -> None:
    made = World(2, change=lambda loss: np.where(loss < 0.05, 0.0, loss) + shift)
    outcome = made.run(0.03)
    error = np.abs(column(outcome, 0) - made.exact) / np.abs(made.exact)
    assert outcome.report["measured_95"] <= 0.03
    assert np.quantile(error, 0.95) <= 0.03


# ---- of a network


def network(splits: tuple[str, ...] = ("train", "test")) -> Objective:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 6, generator=generator)
    y = (x[:, 0] + x[:, 1].square() > 0.7).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    data = {"train": (x, y), "test": (x[:400] + 0.1, y[:400])}
    return Objective(model, "cross_entropy", {split: data[split] for split in splits}, device="cpu")


def test_a_network_s_surface_within_a_tolerance() -> None:
    found, chosen = network(), EvaluationSettings("float32", None, 200)
    plane = random_plane(found)
    exact = surface(found, plane, points=(15, 11), evaluation=Evaluation(settings=chosen))
    seen: list[NDArray[Any]] = []
    axes = Axes((15, 11))
    estimated = surface_in_parts(found, plane, axes, chosen, tolerance=0.04, on_point=seen.append)
    assert estimated.complete
    assert estimated.shape == (11, 15)
    report = estimated.attributes["tolerance"]
    assert report["asked"] == 0.04
    assert set(report["splits"]) == {"train", "test"}
    for s in range(2):
        error = np.abs(estimated.grid("loss")[s] / exact.grid("loss")[s] - 1)
        assert np.quantile(error, 0.95) <= 0.04
    # Level 1 is what an exact surface measures, to the bit, and is reported as it is.
    everything = estimated.grid("loss", level=1)
    known = ~np.isnan(everything)
    assert known[0].sum() == report["levels"][0]["points"] < known[0].size
    np.testing.assert_array_equal(everything[known], exact.grid("loss")[known])
    np.testing.assert_array_equal(estimated.grid("loss")[known], exact.grid("loss")[known])
    assert (estimated.grid("loss", column="n") == np.array([900, 400])[:, None, None]).all()
    # What was handed over as it came is the evidence in the table, and enough to end the same way.
    evidence = np.concatenate(seen)
    assert (evidence["level"] > 0).all()
    again = surface_in_parts(found, plane, axes, chosen, tolerance=0.04, done=evidence[:400])
    assert again.points.tobytes() == estimated.points.tobytes()


def test_the_gradient_s_norm_is_estimated_along_with_the_loss() -> None:
    found, evaluation = network(("train",)), Evaluation(settings=EvaluationSettings("float32", None, 200))
    exact, estimated = (
        surface(found, points=(15, 11), gradient_norm=True, tolerance=t, evaluation=evaluation) for t in (0.0, 0.05)
    )
    norm, truth = estimated.grid("gradient_norm")[0], exact.grid("gradient_norm")[0]
    off = norm != truth
    assert 0 < off.sum() < off.size
    assert np.quantile(np.abs(norm / truth - 1)[off], 0.9) < 0.1
    assert np.quantile((np.abs(norm - truth) / estimated.grid("gradient_norm", column="stderr")[0])[off], 0.9) < 3


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, float("nan")])
def test_a_tolerance_that_cannot_be_is_refused(tolerance: float) -> None:
    with pytest.raises(LandscapeError, match="expected a relative error"):
        surface(network(), points=3, tolerance=tolerance)


def test_a_grid_too_small_to_save_anything_is_measured_exactly() -> None:
    found, chosen = network(), EvaluationSettings("float32", None, 200)
    small = surface(found, points=5, tolerance=0.01, evaluation=Evaluation(settings=chosen))
    np.testing.assert_array_equal(
        small.grid("loss"), surface(found, points=5, evaluation=Evaluation(settings=chosen)).grid("loss")
    )
    assert small.attributes["tolerance"]["saving"] == 1


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
