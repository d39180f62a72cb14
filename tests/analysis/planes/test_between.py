"""Lines between two models and planes through three, against closed forms."""

import itertools
import math
from typing import Any

import pytest
import torch
from cases.small_models import INPUTS, LABELS, network, objective
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.weights import flatten
from landscape.analysis.planes import (
    Triangle,
    line_between,
    plane_through,
    triangle,
)
from landscape.errors import LandscapeError


def loss_of(model: nn.Module) -> float:
    return F.cross_entropy(model.eval()(INPUTS), LABELS).item()


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return (flatten(a) - flatten(b)).detach().norm().item()


def test_a_line_between_two_models_ends_at_both() -> None:
    first, second = objective(network(1)), network(2)
    plane = line_between(first, second.state_dict())
    assert plane.provenance["kind"] == "between"
    for name, w in second.named_parameters():
        torch.testing.assert_close(plane.at(1.0)[name], w.detach())
        assert torch.equal(plane.at(0.0)[name], first.origin[name])
    for t, model in ((0.0, network(1)), (1.0, second)):
        estimate = first.evaluate(plane.at(t), buffers=plane.buffers_at(t))["train"]["loss"]
        assert estimate.value == pytest.approx(loss_of(model), rel=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.weight"), r"0.weight is \(5, 4\) in the first and nothing"),
        (
            lambda state: state.update({"3.bias": torch.zeros(2)}),
            r"3.bias is \(3,\) in the first and \(2,\) in the sec",
        ),
        (lambda state: state.pop("1.running_var"), r"1.running_var is \(5,\) in the first and nothing"),
    ],
)
def test_other_architectures_are_refused(change: Any, message: str) -> None:
    state = network(2).state_dict()
    change(state)
    with pytest.raises(LandscapeError, match=message):
        line_between(objective(), state)
    with pytest.raises(LandscapeError, match=message):
        plane_through(objective(), state, network(3).state_dict())


def test_buffers_that_are_no_part_of_a_state_stay() -> None:
    class Tabled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)
            self.register_buffer("table", torch.ones(4), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.table)

    model = Tabled().double()
    found = objective(model)
    plane = line_between(found, model.state_dict())
    assert found.evaluate(plane.at(0.5), buffers=plane.buffers_at(0.5)) == found.evaluate()


def test_a_plane_through_three_models_holds_them_and_their_distances() -> None:
    models = [network(seed) for seed in (1, 2, 3)]
    found = objective(models[0])
    plane = plane_through(found, models[1].state_dict(), models[2].state_dict(), labels=("a", "b", "c"))
    assert [mark["label"] for mark in plane.marks] == ["a", "b", "c"]
    places = [(mark["alpha"], mark["beta"]) for mark in plane.marks]
    assert places[:2] == [(0.0, 0.0), (1.0, 0.0)]
    assert places[2][1] > 0
    weights = [dict(model.named_parameters()) for model in models]
    unit = distance(weights[0], weights[1])
    assert plane.provenance["norms"] == pytest.approx([unit, unit], rel=1e-12)
    assert plane.provenance["cosine"] == pytest.approx(0, abs=1e-12)
    for (x, y), model, expected in zip(places, models, weights, strict=True):
        assert distance(plane.at(x, y), expected) < 1e-12
        estimate = found.evaluate(plane.at(x, y), buffers=plane.buffers_at(x, y))["train"]["loss"]
        assert estimate.value == pytest.approx(loss_of(model), rel=1e-9)
    for i, j in itertools.combinations(range(3), 2):
        assert unit * math.dist(places[i], places[j]) == pytest.approx(distance(weights[i], weights[j]), rel=1e-12)


def test_buffers_between_three_models_are_blended_as_the_weights_are() -> None:
    models = [network(seed) for seed in (1, 2, 3)]
    plane = plane_through(objective(models[0]), models[1].state_dict(), models[2].state_dict())
    for x, y in ((0.3, 0.4), (-0.5, 0.2), (1.4, -0.1)):
        columns = torch.stack([torch.cat([p.flatten() for p in model.parameters()]) for model in models], dim=1)
        point = torch.cat([columns.T.new_ones(1), flatten(plane.at(x, y))])
        system = torch.cat([torch.ones(1, 3).double(), columns])
        shares = torch.linalg.lstsq(system, point).solution  # barycentric coordinates, found from the weights alone
        buffers = plane.buffers_at(x, y)
        assert buffers is not None
        means = torch.stack([model[1].running_mean for model in models], dim=1)
        variances = torch.stack([model[1].running_var for model in models], dim=1)
        torch.testing.assert_close(buffers["1.running_mean"], means @ shares, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(buffers["1.running_var"], (variances.log() @ shares).exp(), rtol=1e-8, atol=0)


def test_a_plane_is_rebuilt_from_its_provenance_to_the_bit() -> None:
    found, (b, c) = objective(), (network(seed).state_dict() for seed in (2, 3))
    plane = plane_through(found, b, c)
    again = plane_through(found, b, c, geometry=Triangle.from_provenance(plane.provenance))
    assert again.provenance == plane.provenance
    assert triangle(found.origin, b, c).extent == plane.extent


def test_three_models_on_a_line_span_no_plane() -> None:
    found, b = objective(), network(2).state_dict()
    middle = {name: 0.3 * w + 0.7 * b[name] for name, w in network(1).state_dict().items()}
    for third in (middle, b, network(1).state_dict()):
        with pytest.raises(LandscapeError, match="lie on a line"):
            plane_through(found, b, third)
    with pytest.raises(LandscapeError, match="lie on a line"):
        plane_through(found, network(1).state_dict(), b)
