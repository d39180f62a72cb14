"""The barrier between two models against per-example losses by hand."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.connectivity.barrier import barriers
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import line_between
from landscape.analysis.planes.axes import between_axis
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError

N = 30
INPUTS = torch.randn(N, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))
EXACT = Evaluation(settings=EvaluationSettings("float64", None, N))


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def objective(model: nn.Module, loss: Any = "cross_entropy", **data: Any) -> Objective:
    return Objective(model, loss, data or {"train": (INPUTS, LABELS)}, device="cpu", precision="float64")


def permuted(model: nn.Module) -> nn.Module:
    """Return the same function with its hidden units in another order: between the two there is a barrier."""
    model, order = copy.deepcopy(model), torch.tensor([3, 1, 4, 0, 5, 7, 2, 6])
    model[0].weight.data, model[0].bias.data = model[0].weight.data[order], model[0].bias.data[order]
    model[2].weight.data = model[2].weight.data[:, order]
    return model


def trained(seed: int = 0) -> nn.Module:
    model = network(seed)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=30, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(INPUTS), LABELS) + 1e-3 * sum(p.square().sum() for p in model.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


def test_value_place_and_standard_error_are_the_paired_difference_s() -> None:
    first = trained()
    second = permuted(first)
    with torch.no_grad():  # so that the two ends differ
        for parameter in second.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4))
    data = {"train": (INPUTS, LABELS), "test": (INPUTS[:11] + 0.1, LABELS[:11])}
    found = objective(first, **data)
    plane = line_between(found, second.state_dict())
    line = surface(found, plane, axes=Axes(alpha=tuple(between_axis(11, 0.3))), evaluation=EXACT)
    result = barriers(found, plane, line)
    assert set(result) == {"train", "test"}
    for split, (x, y) in data.items():
        best: tuple[float, float, float] = (-math.inf, 0, 0)
        ends = [F.cross_entropy(m(x), y, reduction="none").detach().numpy() for m in (first, second)]
        for t in np.arange(11) / 10:
            model = copy.deepcopy(first)
            for p, a, b in zip(model.parameters(), first.parameters(), second.parameters(), strict=True):
                p.data = (1 - t) * a.data + t * b.data
            middle = F.cross_entropy(model(x), y, reduction="none").detach().numpy()
            rise = middle - (1 - t) * ends[0] - t * ends[1]
            best = max(best, (rise.mean(), rise.std(ddof=1) / math.sqrt(len(rise)), t))
        assert best[0] > 0.1
        barrier = result[split]["loss"]
        assert barrier["value"] == pytest.approx(best[0], rel=1e-9)
        assert barrier["stderr"] == pytest.approx(best[1], rel=1e-9)
        assert barrier["at"] == pytest.approx(best[2], abs=1e-12)


def test_a_line_that_sags_has_no_barrier() -> None:
    model = nn.Linear(4, 1).double()  # its squared error is convex
    other = nn.Linear(4, 1).double()
    found = objective(model, "mse", train=(INPUTS, torch.ones(N, 1).double()))
    plane = line_between(found, other.state_dict())
    line = surface(found, plane, axes=Axes(alpha=tuple(between_axis(5))), evaluation=EXACT)
    barrier = barriers(found, plane, line)["train"]["loss"]
    assert barrier == {"value": 0.0, "stderr": 0.0, "at": 0.0}
    assert line.grid("loss")[0, 2] < line.grid("loss")[0, [0, -1]].mean()


def test_rises_beyond_the_ends_do_not_count() -> None:
    model, other = (nn.Linear(4, 1).double() for _ in range(2))
    found = objective(model, "mse", train=(INPUTS, torch.ones(N, 1).double()))
    plane = line_between(found, other.state_dict())
    line = surface(found, plane, axes=Axes(alpha=tuple(between_axis(5, 2.0))), evaluation=EXACT)
    grid = line.grid("loss")[0]
    assert grid.max() > grid[line.alpha.tolist().index(0.0)]
    assert barriers(found, plane, line)["train"]["loss"]["value"] == 0.0


class Wall(nn.Module):
    """A loss that is not finite half way between w = −1 and w = 1."""

    def __init__(self, w: float, kind: str) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        value = 1 / self.w.abs() if self.kind == "inf" else torch.sqrt(self.w.abs() - 0.5)
        return value * torch.ones_like(x[:, 0])


def identity(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs


@pytest.mark.parametrize(("kind", "check"), [("inf", math.isinf), ("nan", math.isnan)])
def test_a_loss_that_diverges_on_the_way_is_a_barrier(kind: str, check: Any) -> None:
    found = objective(Wall(-1.0, kind), identity)
    plane = line_between(found, Wall(1.0, kind).state_dict())
    line = surface(found, plane, axes=Axes(alpha=tuple(between_axis(5))), evaluation=EXACT)
    barrier = barriers(found, plane, line)["train"]["loss"]
    assert check(barrier["value"])
    assert barrier["at"] == 0.5
    assert math.isnan(barrier["stderr"])


def test_batch_means_give_a_value_without_a_standard_error() -> None:
    found = objective(network(0), lambda outputs, targets: F.cross_entropy(outputs, targets))
    plane = line_between(found, permuted(network(0)).state_dict())
    line = surface(found, plane, axes=Axes(alpha=tuple(between_axis(5))), evaluation=EXACT)
    exact = objective(network(0))
    expected = barriers(exact, plane, surface(exact, plane, axes=Axes(alpha=tuple(between_axis(5))), evaluation=EXACT))
    barrier = barriers(found, plane, line)["train"]["loss"]
    assert barrier["value"] == pytest.approx(expected["train"]["loss"]["value"], rel=1e-9)
    assert math.isnan(barrier["stderr"])


@pytest.mark.parametrize("alpha", [[0.0, 0.5, 0.9], [0.1, 1.0], [-1.0, 0.0]])
def test_a_line_without_both_ends_has_no_barrier_to_give(alpha: list[float]) -> None:
    found = objective(network(0))
    plane = line_between(found, network(1).state_dict())
    line = surface(found, plane, axes=Axes(alpha=tuple(alpha)), evaluation=EXACT)
    with pytest.raises(LandscapeError, match="points at 0 and 1"):
        barriers(found, plane, line)


def test_a_line_between_two_models_runs_from_0_to_1_by_default() -> None:
    o = objective(trained())
    line = surface(o, line_between(o, network(1).state_dict()), points=5, evaluation=EXACT)
    np.testing.assert_array_equal(line.alpha, [0, 0.25, 0.5, 0.75, 1])
