"""Planes along mixtures of directions."""

import pytest
import torch
from cases.small_models import objective
from torch import nn
from torch.nn import functional as F

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import dot, norm
from landscape.analysis.planes import (
    Direction,
    gradient_direction,
    plane_along,
    random_direction,
    random_plane,
)
from landscape.analysis.planes.normalization import raw_direction
from landscape.errors import LandscapeError


def test_orthogonal_directions_keep_their_length_and_say_so() -> None:
    left, straight = (random_plane(objective(), seed=1, orthogonal=flag) for flag in (False, True))
    assert abs(left.provenance["cosine"]) > 1e-3
    assert abs(straight.provenance["cosine"]) < 1e-12
    assert abs(dot(*straight.directions)) < 1e-12 * norm(straight.directions[0]) * norm(straight.directions[1])
    assert straight.provenance["norms"] == pytest.approx(left.provenance["norms"], rel=1e-9)
    assert torch.equal(straight.directions[0]["0.weight"], left.directions[0]["0.weight"])


def test_parallel_directions_cannot_be_made_orthogonal() -> None:
    model = nn.Linear(1, 1, bias=False)
    found = Objective(model, "mse", torch.ones(4, 1), torch.ones(4, 1), device="cpu")
    with pytest.raises(LandscapeError, match="parallel"):
        random_plane(found, orthogonal=True)


def test_a_mixture_says_what_each_direction_is() -> None:
    found = objective()
    plane = plane_along(found, random_direction(found, 1, seed=4), gradient_direction(found))
    assert plane.provenance["kind"] == "gradient"
    assert plane.provenance["along"] == ["random", "gradient"]
    assert [part["kind"] for part in plane.provenance["parts"]] == ["random", "gradient"]
    raw = raw_direction({"0.weight": torch.Size([5, 4])}, 4, 1)["0.weight"][0]
    torch.testing.assert_close(
        F.normalize(plane.directions[0]["0.weight"][0], dim=0), F.normalize(raw.double(), dim=0), rtol=1e-6, atol=0
    )
    for directions in ((), (plane, plane, plane)):
        with pytest.raises(LandscapeError, match="expected one for a line or two for a plane"):
            plane_along(found, *directions)
    zero = Direction("nothing", {name: torch.zeros_like(w) for name, w in found.origin.items()}, {"kind": "user"})
    with pytest.raises(LandscapeError, match="'nothing' is zero"):
        plane_along(found, zero)
