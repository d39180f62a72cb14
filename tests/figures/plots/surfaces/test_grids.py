"""Grids of surfaces: the error, marks, heights between points, names of axes."""

from dataclasses import replace

import numpy as np
import pytest
from cases import synthetic as make

from landscape.figures.figure import figure
from landscape.figures.plots.surfaces import grids


def test_the_error_is_one_minus_the_accuracy():
    surface = make.surface()
    drawn = figure(surface, metric="error", split="test")
    np.testing.assert_allclose(drawn.data[0].z, 1 - surface.grid("accuracy")[1])
    assert drawn.layout.scene.zaxis.ticktext[0].endswith("%")
    gap = figure(surface, metric="error", split="gap").data[0].z
    train, test = surface.grid("accuracy")
    np.testing.assert_allclose(gap, train - test)


def test_other_checkpoints_on_the_plane_are_marked_with_their_names():
    surface = make.surface(marks=[{"label": "<i>other</i>", "alpha": 0.5, "beta": 0.25}])
    for view in ("3d", "contour"):
        mark = figure(surface, view=view, log=False).data[-1]
        assert (mark.x[0], mark.y[0]) == (0.5, 0.25)
        assert mark.text[-1] == "&lt;i&gt;other&lt;/i&gt;"
    height = figure(surface, log=False).data[-1].z[0]
    assert height == pytest.approx(make.loss(0.5, 0.25, 0), abs=0.15)  # between grid points, a little above


def test_heights_between_grid_points_are_linear():
    surface = replace(make.surface(), beta=np.array([-0.5, -0.25, 0.0, 0.25, 0.5]))
    heights = 2 * surface.alpha[None, :] - 3 * surface.beta[:, None] + 1
    for alpha, beta in ((0.1, 0.2), (-1, -0.5), (1, 0.5), (0.999, -0.499)):
        assert grids.height_at(surface, heights, alpha, beta) == pytest.approx(2 * alpha - 3 * beta + 1)
    assert np.isnan(grids.height_at(surface, heights, 1.01, 0))


def test_the_origin_is_named_where_the_plane_holds_several_checkpoints():
    marks = [
        {"label": "sam", "alpha": 0.0, "beta": 0.0},
        {"label": "adam", "alpha": 1.0, "beta": 0.0},
        {"label": "third", "alpha": 0.3, "beta": 0.5},
    ]
    found = grids.marks(make.surface(marks=marks), make.surface().grid()[0], "loss")
    assert [(mark.role, mark.text) for mark in found if mark.role != "best"] == [
        ("origin", "sam"),
        ("mark", "adam"),
        ("mark", "third"),
    ]
    assert grids.marks(make.surface(), make.surface().grid()[0], "loss")[0].text == "the checkpoint"


def test_axes_along_eigenvectors_name_their_eigenvalues():
    parts = [{"kind": "eigenvectors", "which": "top1", "eigenvalue": 41.234}, {"kind": "random", "seed": 0}]
    surface = make.surface(directions={"kind": "eigenvectors", "parts": parts, "along": ["top1", "random"]})
    assert grids.axis_names(surface) == ("α, eigenvector of λ = 41.23", "β, random direction")
