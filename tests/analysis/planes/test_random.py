"""Random planes and directions: where they lie, what their provenance records, and what they refuse."""

import itertools
from typing import Any

import pytest
import torch
from cases.small_models import objective, quadratic

from landscape.analysis.objective.weights import digest, flatten
from landscape.analysis.planes import (
    plane_along,
    random_direction,
    random_plane,
    user_direction,
)
from landscape.errors import LandscapeError


def test_the_provenance_records_the_draw() -> None:
    found = objective()
    plane = random_plane(found, seed=9)
    a, b = (torch.cat([d.flatten() for d in direction.values()]) for direction in plane.directions)
    assert plane.provenance["kind"] == "random"
    assert plane.provenance["seed"] == 9
    assert plane.provenance["cosine"] == pytest.approx((a @ b / a.norm() / b.norm()).item(), rel=1e-9)
    assert plane.provenance["norms"] == pytest.approx([a.norm().item(), b.norm().item()], rel=1e-12)
    assert plane.provenance["hashes"] == [digest(direction) for direction in plane.directions]
    assert plane.provenance["hashes"] == random_plane(objective(), seed=9).provenance["hashes"]
    assert plane.provenance["hashes"] != random_plane(found, seed=8).provenance["hashes"]


def test_the_loss_on_a_plane_of_a_quadratic_is_the_closed_form() -> None:
    model, found = quadratic()
    plane = random_plane(found, normalization="none", orthogonal=True)
    w, d, e = (flatten(t) for t in (plane.origin, *plane.directions))
    for alpha, beta in itertools.product((-1.0, 0.0, 0.4), (-2.0, 0.0, 0.7)):
        expected = model.value(w + alpha * d + beta * e).item()
        assert found.loss(plane.at(alpha, beta)) == pytest.approx(expected, rel=1e-12)
    assert found.loss(plane.at(0, 0)) == found.loss()


def test_opposite_directions_give_the_mirrored_line() -> None:
    found = objective()
    one = random_direction(found, seed=5)
    other = user_direction(found, {name: -part for name, part in one.vector.items()}, name="opposite")
    there, back = plane_along(found, one), plane_along(found, other)
    for alpha in (-0.7, 0.0, 0.3):
        assert found.loss(there.at(alpha)) == pytest.approx(found.loss(back.at(-alpha)), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "params", "message"),
    [
        ({"normalization": "filters"}, "*", "unknown normalization 'filters'; expected one of filter, layer"),
        ({"one_dimensional": "keep"}, "*", "unknown one_dimensional 'keep'; expected one of zero, scaled, li-code"),
        ({}, "*.bias", "direction is zero in all of params='[*].bias'"),
    ],
)
def test_unusable_settings_get_one_clear_line(options: dict[str, Any], params: str, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        random_plane(objective(params=params), **options)
