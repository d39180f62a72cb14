"""Kinds of planes from outside the package: measured, resumed, drawn and reported like those of the package."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from cases import quadratics as make

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Plane
from landscape.analysis.planes.plane import make_plane
from landscape.figures.report.page import render_report
from landscape.results import LineResult, SurfaceResult
from landscape.storage.loading import load
from landscape.workflow.measurement import Source
from landscape.workflow.measurements.surface import Surface
from landscape.workflow.planes import PlaneSpec


@dataclass(frozen=True)
class CoordinatePlane(PlaneSpec):
    """The plane of the first two weights, from 0 to 2 along the first."""

    length: float = 1.0
    name: ClassVar[str] = "coordinates"
    is_line: ClassVar[bool] = False
    extent: ClassVar[Any] = ((0.0, 2.0), (-1.0, 1.0))

    def identity(self) -> dict[str, Any]:
        return {"directions": "coordinates", "length": self.length}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        recipe = {"kind": "coordinates", "axes": "The axes are the first two weights."}
        return make_plane(objective.origin, [unit(objective, i, self.length) for i in (0, 1)], recipe)


@dataclass(frozen=True)
class Spiral(PlaneSpec):
    """A line that names two checkpoints, and reads a number off itself."""

    name: ClassVar[str] = "spiral"
    is_line: ClassVar[bool] = True
    extent: ClassVar[Any] = ((0.0, 1.0), (0.0, 0.0))

    def identity(self) -> dict[str, Any]:
        return {"directions": "spiral"}

    def label(self, source: Source) -> str:
        return f"{source.label}..elsewhere"

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        recipe = {"kind": "spiral", "connection": "spiral"}
        return make_plane(objective.origin, [unit(objective, 0, 1.0)], recipe)

    def read_off(self, objective: Objective, plane: Plane, line: LineResult) -> dict[str, Any]:
        return {"highest": float(line.grid("loss").max())}


def unit(objective: Objective, index: int, length: float) -> dict[str, torch.Tensor]:
    vector = {name: torch.zeros_like(w) for name, w in objective.origin.items()}
    next(iter(vector.values())).view(-1)[index] = length
    return vector


def test_a_plane_is_measured_resumed_and_on_the_page(tmp_path: Path) -> None:
    wanted = Surface(plane=CoordinatePlane(length=0.5), points=5)
    with landscape.AnalysisFile(tmp_path / "mine.h5") as file:
        measured = file.measure(wanted, make.quadratic(), name="mine/coordinates")
        assert file.measure(wanted, make.quadratic(), name="mine/coordinates") is file.results["mine/coordinates"]
    assert isinstance(measured, SurfaceResult)
    assert 0.0 in measured.alpha
    assert measured.alpha[0] <= 0
    assert measured.alpha[-1] >= 2
    objective = make.quadratic()
    for y, x in ((0, 4), (3, 1)):
        weights = {name: w.clone() for name, w in objective.origin.items()}
        first = next(iter(weights.values())).view(-1)
        first[0] += 0.5 * measured.alpha[x]
        first[1] += 0.5 * measured.beta[y]
        assert measured.grid("loss")[0, y, x] == pytest.approx(objective.loss(weights), rel=1e-6)
    assert "The axes are the first two weights." in render_report(load(tmp_path / "mine.h5"))


def test_another_length_is_another_measurement(tmp_path: Path) -> None:
    with landscape.AnalysisFile(tmp_path / "mine.h5") as file:
        file.measure(Surface(plane=CoordinatePlane(), points=3), make.quadratic(), name="mine/coordinates")
        with pytest.raises(landscape.LandscapeError, match="length"):
            file.measure(
                Surface(plane=CoordinatePlane(length=2.0), points=3), make.quadratic(), name="mine/coordinates"
            )


def test_a_line_between_checkpoints_is_read_off_and_drawn_as_its_kind(tmp_path: Path) -> None:
    with landscape.AnalysisFile(tmp_path / "mine.h5") as file:
        line = file.measure(Surface(plane=Spiral(), points=5), make.quadratic(), name="mine/spiral")
    assert isinstance(line, LineResult)
    np.testing.assert_array_equal(line.alpha, [0.0, 0.25, 0.5, 0.75, 1.0])
    assert line.attributes["highest"] == line.grid("loss").max()
    assert landscape.figure(line).layout.xaxis.title.text == "position"
    assert "mine → elsewhere" in render_report(load(tmp_path / "mine.h5"))
