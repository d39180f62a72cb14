"""VTK grids, read by meshio."""

import meshio
import numpy as np
import pytest
from cases import kinds

from landscape.export.meshes.relief import reliefs
from landscape.export.meshes.vtk import vtk_bytes

make = kinds.make


def wild(points):
    """A corner that is no number, another that diverges, and a point in the middle that was not computed."""
    corner = (points["beta"] == 0.5) & (points["metric"] == 0)
    points["value"][corner & (points["alpha"] == 1)] = np.nan
    points["value"][corner & (points["alpha"] == -1)] = np.inf
    return points[~((points["alpha"] == 0) & (points["beta"] == 0))]


def relief(surface, **options):
    return reliefs({"a": surface}, **{"log": False, **options})["a"]


def test_a_vtk_grid_runs_along_alpha_in_x_and_beta_in_y_and_holds_the_values_as_measured(tmp_path):
    surface = make.surface("a", nx=7, ny=5, change=wild)
    path = tmp_path / "a.vtk"
    path.write_bytes(vtk_bytes(surface, relief(surface), title="a/plane"))
    mesh = meshio.read(path)
    points = mesh.points.reshape(5, 7, 3)
    np.testing.assert_array_equal(points[..., 0], np.broadcast_to(surface.alpha, (5, 7)))
    np.testing.assert_array_equal(points[..., 1], np.broadcast_to(surface.beta[:, None], (5, 7)))
    for s, split in enumerate(surface.splits):
        for metric in surface.metrics:
            np.testing.assert_array_equal(mesh.point_data[f"{split}_{metric}"].reshape(5, 7), surface.grid(metric)[s])
    loss = surface.grid()[0]
    known = np.isfinite(loss)
    z = points[..., 2]
    low, high = z[known].min(), z[known].max()
    share = (loss[known] - loss[known].min()) / np.ptp(loss[known])
    np.testing.assert_allclose(z[known], low + (high - low) * share)  # heights are the loss, scaled
    assert high == pytest.approx(0.5 * 2)  # half of the longer side, α from −1 to 1
    assert z[4, 0] == high  # inf is level with the top
    hidden = mesh.point_data["vtkGhostType"].reshape(5, 7) == 2
    np.testing.assert_array_equal(hidden, np.isnan(loss))
    cells = mesh.cell_data["vtkGhostType"][0].reshape(4, 6) == 32
    assert cells.sum() == 4 + 1  # around the middle, and at the corner
