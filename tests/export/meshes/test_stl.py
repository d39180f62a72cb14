"""STL solids, read by trimesh."""

import io
import sys

import numpy as np
import pytest
import trimesh
from cases import kinds

from landscape.errors import LandscapeError
from landscape.export.meshes.gltf import glb_bytes
from landscape.export.meshes.relief import reliefs
from landscape.export.meshes.stl import stl_bytes

make = kinds.make


def relief(surface, **options):
    return reliefs({"a": surface}, **{"log": False, **options})["a"]


def test_a_solid_is_watertight_stands_on_a_flat_base_and_has_the_volume_of_the_relief():
    surface = make.surface("a", nx=9, ny=7)
    made = relief(surface)
    loaded = trimesh.load(io.BytesIO(stl_bytes(made, millimetres=80)), file_type="stl")
    assert loaded.is_watertight
    assert loaded.is_winding_consistent
    low, high = loaded.bounds
    np.testing.assert_allclose(low, 0, atol=1e-6)
    np.testing.assert_allclose(high, [80, 40, 80 * (0.5 + 0.04)], rtol=1e-6)  # α spans 2, β spans 1
    below = np.isclose(loaded.triangles_center[:, 2], 0)
    assert (loaded.face_normals[below][:, 2] < 0).all()
    assert loaded.area_faces[below].sum() == pytest.approx(80 * 40)
    cell = (80 / 8) * (40 / 6)
    inside = made.height[1:-1, 1:-1].sum() + 0.25 * (made.height[::6, ::8].sum())
    edges = 0.5 * (made.height[0, 1:-1].sum() + made.height[-1, 1:-1].sum() + made.height[1:-1, [0, -1]].sum())
    trapezoid = 80 * cell * (inside + edges) + 0.04 * 80 * 80 * 40
    assert loaded.volume == pytest.approx(trapezoid, rel=0.01)  # positive: outwards


@pytest.mark.parametrize("write", [stl_bytes, glb_bytes])
def test_a_missing_trimesh_is_one_line_with_its_remedy(monkeypatch, write):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(LandscapeError, match=r"trimesh, which is missing; pip install 'landscape-toolkit\[mesh\]'"):
        write(relief(make.surface("a")))
