"""Directions of the gradient and of SAM's perturbation."""

import math

import numpy as np
import pytest
import torch
from cases.small_models import INPUTS, LABELS, quadratic
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten, norm
from landscape.analysis.planes import (
    gradient_direction,
    plane_along,
    sam_direction,
)
from landscape.errors import LandscapeError


def test_the_gradient_is_of_length_one_and_ascends_the_fastest() -> None:
    model, found = quadratic()
    w = flatten(found.origin)
    expected = model.A @ w + model.b
    direction = gradient_direction(found)
    torch.testing.assert_close(flatten(direction.vector), expected / expected.norm())
    assert direction.provenance["gradient_norm"] == pytest.approx(expected.norm().item(), rel=1e-12)
    step = 1e-6
    slope = (found.loss(plane_along(found, direction).at(step)) - found.loss()) / step
    assert slope == pytest.approx(expected.norm().item(), rel=1e-4)


@pytest.mark.parametrize("p", [2, math.inf])
def test_at_one_along_sams_direction_lies_its_perturbed_point(p: float) -> None:
    """ρ sign(g) |g|^(q−1) / (‖g‖_q^q)^(1/p) with 1/p + 1/q = 1, written out."""
    model, found = quadratic()
    w = flatten(found.origin)
    g = (model.A @ w + model.b).numpy()
    q = p / (p - 1) if p != math.inf else 1.0
    perturbation = 0.3 * np.sign(g) * np.abs(g) ** (q - 1) / (np.abs(g) ** q).sum() ** (1 / p)
    direction = sam_direction(found, rho=0.3, p=p)
    point = flatten(plane_along(found, direction).at(1.0)).numpy()
    np.testing.assert_allclose(point, w.numpy() + perturbation, rtol=1e-12)
    assert direction.provenance["rho"] == 0.3


def test_a_point_without_a_slope_has_no_gradient_direction() -> None:
    model, found = quadratic()
    with torch.no_grad():
        model.w.copy_((-torch.linalg.solve(model.A, model.b)).view(2, 3))
    flat = Objective(nn.Linear(4, 3).double(), lambda y, _: 0 * y.sum(1), INPUTS, LABELS, device="cpu")
    for make in (gradient_direction, sam_direction):
        with pytest.raises(LandscapeError, match="gradient's norm is 0"):
            make(flat)
    assert norm(gradient_direction(found).vector) == pytest.approx(1)
    for options in ({"p": 3}, {"rho": 0.0}, {"rho": math.nan}):
        with pytest.raises(LandscapeError, match="expected"):
            sam_direction(found, **options)
