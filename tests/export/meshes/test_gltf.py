"""GLB files, read by trimesh."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from cases import kinds

from landscape.export.meshes.gltf import glb_bytes
from landscape.export.meshes.relief import reliefs
from landscape.figures.style import theme

make = kinds.make


def wild(points):
    """A corner that is no number, another that diverges, and a point in the middle that was not computed."""
    corner = (points["beta"] == 0.5) & (points["metric"] == 0)
    points["value"][corner & (points["alpha"] == 1)] = np.nan
    points["value"][corner & (points["alpha"] == -1)] = np.inf
    return points[~((points["alpha"] == 0) & (points["beta"] == 0))]


def relief(surface, **options):
    return reliefs({"a": surface}, **{"log": False, **options})["a"]


def test_a_glb_is_valid_gltf_with_alpha_along_x_height_up_and_beta_towards_the_back():
    surface = make.surface("a", nx=7, ny=5, change=wild)
    made = relief(surface)
    content = glb_bytes(made, name="a/plane")
    magic, version, length, size, kind = struct.unpack_from("<4sII I4s", content)
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
    document = json.loads(content[20 : 20 + size])
    binary_size, binary_kind = struct.unpack_from("<I4s", content, 20 + size)
    assert binary_kind == b"BIN\0"
    assert document["buffers"][0]["byteLength"] == binary_size
    assert size % 4 == binary_size % 4 == 0
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= binary_size

    mesh = next(iter(trimesh.load(io.BytesIO(content), file_type="glb").geometry.values()))
    x, height, depth = mesh.vertices.T
    assert np.ptp(x) == pytest.approx(1)
    assert np.ptp(depth) == pytest.approx(0.5)
    alpha, beta = 2 * x, -2 * depth  # centred, the longer side 1
    loss = np.array([make.loss(a, b, 0) for a, b in zip(alpha, beta, strict=True)])
    ordinary = ~((alpha < -0.99) & (beta > 0.49))  # where it diverges
    slope, offset = np.polyfit(loss[ordinary], height[ordinary], 1)
    np.testing.assert_allclose(height[ordinary], slope * loss[ordinary] + offset, atol=1e-5)
    assert slope > 0
    assert (mesh.face_normals[:, 1] > 0).all()  # seen from above
    assert len(mesh.faces) == 2 * (6 * 4 - 4 - 1)
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    np.testing.assert_allclose(accessor["min"], mesh.vertices.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(accessor["max"], mesh.vertices.max(axis=0), atol=1e-6)
    texture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    first, last = (
        tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (theme.SEQUENTIAL[0][1], theme.SEQUENTIAL[-1][1])
    )
    assert (tuple(texture[0, 0]), tuple(texture[0, -1])) == (first, last)
    u = mesh.visual.uv[:, 0]
    assert u[np.argmin(height)] == pytest.approx(0.5 / 256)
    assert u[np.argmax(height)] == pytest.approx(1 - 0.5 / 256)
