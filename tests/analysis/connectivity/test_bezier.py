"""Bézier curves against the formula written out, and their training against torch's Adam on the same draws."""

import pytest
import torch
from cases.curve_problem import INPUTS, LABELS, flat, network, objective
from torch.nn import functional as F

from landscape.analysis.connectivity.bezier import control_state, curve_path, curve_through
from landscape.analysis.objective.weights import flatten
from landscape.analysis.planes import line_between, plane_through
from landscape.errors import LandscapeError


def test_points_of_the_curve() -> None:
    first, second, third = (network(seed).state_dict() for seed in (0, 1, 2))
    curve = curve_through(objective(), second, third)
    assert curve.is_line
    assert curve.provenance["kind"] == "bezier"
    for t in (0.0, 0.1, 0.5, 0.8, 1.0, 1.3):
        expected = (1 - t) ** 2 * flat(first) + 2 * t * (1 - t) * flat(third) + t**2 * flat(second)
        torch.testing.assert_close(flatten(curve.at(t)), expected)
    torch.testing.assert_close(flatten(curve.control), flat(third))
    assert torch.equal(flatten(curve.at(0.0)), flat(first))


def test_buffers_go_from_one_end_to_the_other() -> None:
    second = network(1)
    found = objective()
    curve = curve_through(found, second.state_dict(), network(2).state_dict())
    for t, model in ((0.0, network(0)), (1.0, second)):
        loss = found.evaluate(curve.at(t), buffers=curve.buffers_at(t))["train"]["loss"].value
        assert loss == pytest.approx(F.cross_entropy(model(INPUTS), LABELS).item(), rel=1e-9)


def test_a_control_point_in_the_middle_gives_the_straight_line() -> None:
    second = network(1).state_dict()
    middle = {name: 0.5 * (w + second[name]) for name, w in network(0).state_dict().items()}
    curve, line = curve_through(objective(), second, middle), line_between(objective(), second)
    for t in (0.2, 0.7):
        torch.testing.assert_close(flatten(curve.at(t)), flatten(line.at(t)))


def test_the_curve_lies_on_the_plane_of_its_control_point() -> None:
    found, second = objective(), network(1).state_dict()
    curve = curve_through(found, second, network(2).state_dict())
    state = control_state(found, curve)
    network(3).load_state_dict(state)  # it is whole
    plane = plane_through(found, second, state, labels=("a", "b", "control point"))
    path = curve_path(plane.provenance, points=5)
    assert path.position.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert path.attributes["position"] == "t"
    assert path.attributes["directions"]["hashes"] == plane.provenance["hashes"]
    for t, x, y, far in zip(path.position, path.alpha, path.beta, path.distances, strict=True):
        torch.testing.assert_close(flatten(plane.at(x, y)), flatten(curve.at(t)))
        assert far == pytest.approx((flatten(curve.at(t)) - flatten(found.origin)).norm().item())
    with pytest.raises(LandscapeError, match="a curve is drawn on the plane"):
        curve_path(line_between(found, second).provenance)
