"""Reliefs: one scale for surfaces of a name, holes, and surfaces too small."""

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.export.meshes.mesh import sheet
from landscape.export.meshes.relief import reliefs

make = kinds.make


def wild(points):
    """A corner that is no number, another that diverges, and a point in the middle that was not computed."""
    corner = (points["beta"] == 0.5) & (points["metric"] == 0)
    points["value"][corner & (points["alpha"] == 1)] = np.nan
    points["value"][corner & (points["alpha"] == -1)] = np.inf
    return points[~((points["alpha"] == 0) & (points["beta"] == 0))]


def relief(surface, **options):
    return reliefs({"a": surface}, **{"log": False, **options})["a"]


def test_surfaces_of_one_name_share_one_scale_and_what_is_cut_off_is_said():
    low, high = make.surface("a"), make.surface("b", value=lambda a, b, s: 3 * make.loss(a, b, s))
    found = reliefs({"a": low, "b": high}, log=False)
    assert found["b"].share.max() == 1
    assert found["a"].share.max() == pytest.approx(
        (low.grid()[0].max() - low.grid()[0].min()) / (high.grid()[0].max() - low.grid()[0].min())
    )
    cut = relief(low, clip=0.5)
    assert (cut.share == 1).sum() == (low.grid()[0] >= 0.5).sum()
    assert "off the scale" in cut.text
    assert "holes" in relief(make.surface("a", change=wild)).text
    assert relief(low, tall=0.0).height.max() == 0


def test_what_cannot_be_built_is_said():
    with pytest.raises(LandscapeError, match="at least 2 x 2"):
        reliefs({"a": make.surface("a", nx=1, ny=3)})
    with pytest.raises(LandscapeError, match="nothing to build"):
        sheet(relief(make.surface("a", change=lambda points: points[:0])))
