"""Points of a plane and of a line."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from cases.small_models import objective
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.analysis.planes import (
    random_plane,
)
from landscape.analysis.planes.axes import covering_axis
from landscape.errors import LandscapeError


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


@given(
    points=st.integers(3, 101),
    low=st.floats(-1e3, 0),
    high=st.floats(1e-3, 1e3),
    margin=st.floats(0, 2),
)
@settings(deadline=None, max_examples=60)
def test_axes_of_known_points_cover_them_and_hold_zero(points: int, low: float, high: float, margin: float) -> None:
    axis = covering_axis(points, low, high, margin=margin)
    size, step = high - low, axis[1] - axis[0]
    assert len(axis) == points
    assert 0.0 in axis
    assert axis[0] <= low - margin * size + 1e-6 * step
    assert axis[-1] >= high + margin * size - 1e-6 * step
    np.testing.assert_allclose(np.diff(axis), step, rtol=1e-9)
    assert step <= 1.02 * (1 + 2 * margin) * size / (points - 2)
    np.testing.assert_array_equal(axis, covering_axis(points, low * (1 + 1e-15), high * (1 + 1e-15), margin=margin))


@pytest.mark.parametrize("arguments", [(2, -1, 1), (5, 0, 0), (5, 1, 2), (5, 0, math.inf)])
def test_axes_around_nothing_are_refused(arguments: Any) -> None:
    with pytest.raises(LandscapeError, match="expected"):
        covering_axis(*arguments)


def test_a_plane_cannot_be_changed() -> None:
    plane = random_plane(objective())
    with pytest.raises(dataclasses.FrozenInstanceError):
        plane.provenance = {}  # type: ignore[misc]
