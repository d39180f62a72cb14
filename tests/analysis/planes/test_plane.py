"""Points of a plane and of a line."""

import dataclasses

import pytest
import torch
from cases.small_models import objective

from landscape.analysis.planes import (
    random_plane,
)


def test_points_of_a_plane_and_of_a_line() -> None:
    found = objective()
    plane = random_plane(found)
    assert not plane.is_line
    assert all(torch.equal(plane.at(0, 0)[name], w) for name, w in found.origin.items())
    (d, e), name = plane.directions, "0.weight"
    torch.testing.assert_close(plane.at(0.5, -2)[name], found.origin[name] + 0.5 * d[name] - 2 * e[name])
    assert plane.buffers_at(0.3, 0.1) is None
    line = random_plane(found, dimensions=1)
    assert line.is_line
    assert torch.equal(line.directions[0][name], d[name])
    assert "cosine" not in line.provenance


def test_a_plane_cannot_be_changed() -> None:
    plane = random_plane(objective())
    with pytest.raises(dataclasses.FrozenInstanceError):
        plane.provenance = {}  # type: ignore[misc]
