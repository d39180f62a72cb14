"""Meshes: closed solids whatever is missing."""

from collections import Counter

import numpy as np
import pytest
import trimesh
from cases import kinds

from landscape.export.meshes.mesh import sheet, solid
from landscape.export.meshes.relief import reliefs

make = kinds.make


def relief(surface, **options):
    return reliefs({"a": surface}, **{"log": False, **options})["a"]


def edges_of(faces):
    return Counter((int(f[i]), int(f[(i + 1) % 3])) for f in faces for i in range(3))


@pytest.mark.parametrize("seed", range(6))
def test_solids_stay_closed_whatever_is_missing(seed):
    """Every directed edge once, and its reverse once: closed and consistent, by counting."""
    generator = np.random.default_rng(seed)
    missing = generator.uniform(size=(9, 8)) < (0.05, 0.1, 0.2, 0.3, 0.35, 0.4)[seed]

    def holes(points):
        at = {(a, b) for (y, x) in np.argwhere(missing) for a, b in [(alpha[x], beta[y])]}
        keep = [(row["alpha"], row["beta"]) not in at for row in points]
        return points[np.array(keep)]

    alpha, beta = np.linspace(-1, 1, 8), np.linspace(-0.5, 0.5, 9)
    mesh = solid(relief(make.surface("a", nx=8, ny=9, change=holes)))
    edges = edges_of(mesh.faces)
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces).volume > 0


def test_cells_that_touch_at_a_corner_only_are_parted():
    def cross(points):  # what is left are two cells that share the point in the middle
        gone = {(-1.0, 0.5), (1.0, -0.5)}
        return points[[(float(r["alpha"]), float(r["beta"])) not in gone for r in points]]

    mesh = solid(relief(make.surface("a", nx=3, ny=3, change=cross)))
    loaded = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert loaded.is_watertight
    assert len(sheet(relief(make.surface("a", nx=3, ny=3, change=cross))).faces) == 4
