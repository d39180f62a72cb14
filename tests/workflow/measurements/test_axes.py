"""Uneven and logarithmic axes of measurements, which the command line leaves to Python."""

from pathlib import Path

import numpy as np
import pytest
from cases.curvature_problem import classifier, network

import landscape
from landscape.errors import LandscapeError
from landscape.results import LineResult, SurfaceResult
from landscape.workflow.planes import Weights

FLOAT32 = landscape.Evaluation(precision="float32")


def measured(path: Path, axes: landscape.Axes, plane: landscape.PlaneSpec | None = None) -> LineResult | SurfaceResult:
    """Measure a plane of the classifier at the points of some axes."""
    with landscape.AnalysisFile(path / "mine.h5") as file:
        measurement = landscape.Surface(plane, axes=axes, evaluation=FLOAT32, batchnorm="fixed")
        return file.measure(measurement, classifier(precision="float32"), name="mine/plane", overwrite=True)


def test_uneven_axes_have_the_given_coordinates(tmp_path: Path) -> None:
    surface = measured(tmp_path, landscape.Axes(alpha=(-1, -0.3, 0, 2), beta=(0.5, 1)))
    assert (surface.alpha.tolist(), surface.beta.tolist()) == ([-1, -0.3, 0, 2], [0.5, 1])
    assert surface.complete


def test_logarithmic_axes_have_equal_ratios_from_a_thousandth_of_the_span(tmp_path: Path) -> None:
    surface = measured(tmp_path, landscape.Axes(points=(9, 3), span=2.0, spacing="log"))
    np.testing.assert_allclose(surface.alpha[5:], [0.002, 0.02, 0.2, 2], rtol=1e-12)
    np.testing.assert_array_equal(surface.alpha[:4], -surface.alpha[:4:-1])
    assert surface.alpha[4] == 0


def test_coordinates_must_ascend(tmp_path: Path) -> None:
    with pytest.raises(LandscapeError, match="ascending"):
        measured(tmp_path, landscape.Axes(alpha=(1, 0)))


def test_lines_without_their_ends_or_their_centre_have_no_barrier_and_no_width(tmp_path: Path) -> None:
    other = Weights("other", "0" * 64, {name: weight + 0.1 for name, weight in network().state_dict().items()})
    line = landscape.LineBetween(other)
    assert "barrier" in measured(tmp_path, landscape.Axes(alpha=(0, 0.5, 1)), line).attributes
    assert "barrier" not in measured(tmp_path, landscape.Axes(alpha=(0.25, 0.5)), line).attributes
    random = landscape.RandomPlane(line=True)
    assert "width" in measured(tmp_path, landscape.Axes(alpha=(0, 0.5, 1)), random).attributes
    assert "width" not in measured(tmp_path, landscape.Axes(alpha=(0.5, 1)), random).attributes


def test_widths_are_read_off_at_the_given_rises(tmp_path: Path) -> None:
    rises = landscape.RandomPlane(line=True, rises=(0.01, 1e12))
    small, large = measured(tmp_path, landscape.Axes(points=(11, 11)), rises).attributes["width"]
    assert (small["rise"], large["rise"]) == (0.01, 1e12)
    assert 0 < small["right"] < 1
    assert np.isnan([large["left"], large["right"]]).all()  # the line ends before
