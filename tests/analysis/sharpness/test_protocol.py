"""A sharpness measure from outside the package: measured, stored, drawn and exported like those of the package."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cases import quadratics as make

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import Cost, SamSharpness, sharpness
from landscape.analysis_file import AnalysisFile
from landscape.errors import LandscapeError
from landscape.export.tables.csv_table import csv_bytes
from landscape.export.tables.npz_archive import npz_bytes
from landscape.figures.figure import figure
from landscape.figures.report.page import render_report
from landscape.results import MeasureResult, SharpnessResult
from landscape.storage.loading import load
from landscape.workflow.measurements.sharpness import Sharpness


@dataclass
class GradientNorm:
    """‖∇L(w)‖: not frozen, without a radius, with a parameter of a name of its own."""

    name: ClassVar[str] = "gradient_norm"
    order: float = 2.0

    @property
    def label(self) -> str:
        return f"gradient norm of order {self.order:g}"

    def parameters(self, seed: int) -> dict[str, Any]:
        return {"order": self.order}

    def cost(self, examples: int, radii: int = 1) -> Cost:
        return Cost(gradients=examples)

    def measure(self, objective: Objective, *, seed: int = 0, on_step: Any = None) -> MeasureResult:
        _, gradient = objective.gradient()
        value = sum(float((g.abs() ** self.order).sum()) for g in gradient.values()) ** (1 / self.order)
        if on_step is not None:
            on_step(self.name)
        return MeasureResult(
            self.name, self.label, value, math.nan, "norm", 1, self.parameters(seed), {"rounding": 0.0}
        )


EXPECTED = float(make.gradient().norm())


def test_one_of_several_measures() -> None:
    result = sharpness(make.quadratic(), [SamSharpness(), GradientNorm(), GradientNorm(4.0)])
    assert result.value("gradient norm of order 2") == pytest.approx(EXPECTED, rel=1e-9)
    assert result.value("gradient norm of order 4") == pytest.approx(float(make.gradient().norm(4)), rel=1e-9)


def test_measured_by_the_workflow_then_resumed_drawn_and_exported(tmp_path: Path) -> None:
    wanted = Sharpness(measures=(GradientNorm(), SamSharpness()))
    with AnalysisFile(tmp_path / "mine.h5") as file:
        file.measure(wanted, make.quadratic(), name="mine/sharpness")
    results = load(tmp_path / "mine.h5")
    stored = results["mine/sharpness"]
    assert isinstance(stored, SharpnessResult)
    assert stored.measures[0].parameters == {"order": 2.0}
    assert stored.measures[0].diagnostics["rounding"] == 0
    assert stored.value("gradient norm of order 2") == pytest.approx(EXPECTED, rel=1e-9)
    with AnalysisFile(tmp_path / "mine.h5") as file:  # only what is missing is measured
        more = Sharpness(measures=(GradientNorm(), SamSharpness(), GradientNorm(4.0)))
        again = file.measure(more, make.quadratic(), name="mine/more")
    assert [m.diagnostics for m in again.measures[:2]] == [m.diagnostics for m in stored.measures]  # with the seconds
    value = stored.measures[0].value
    assert any(value in trace.x for trace in figure(stored).data)
    assert "gradient norm of order 2" in render_report(results)
    rows = list(csv.DictReader(io.StringIO(csv_bytes(stored).decode())))
    assert (rows[0]["name"], float(rows[0]["value"])) == ("gradient_norm", value)
    assert npz_bytes(stored)


class Unlabelled(GradientNorm):
    def measure(self, objective: Objective, *, seed: int = 0, on_step: Any = None) -> Any:
        return MeasureResult("x", "another label", 1.0, math.nan, "", 1)


class Plain(GradientNorm):
    def measure(self, objective: Objective, *, seed: int = 0, on_step: Any = None) -> Any:
        return 1.0


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (Unlabelled(), "expected a result with the label 'gradient norm of order 2', got 'another label'"),
        (Plain(), "expected a MeasureResult from the measure 'gradient norm of order 2', got float"),
    ],
)
def test_a_measure_that_returns_something_else_is_refused(measure: GradientNorm, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        landscape.sharpness(make.quadratic(), [measure])


def test_two_measures_of_one_label_are_refused_by_the_workflow() -> None:
    with pytest.raises(LandscapeError, match="2 measures are called"):
        Sharpness(measures=(GradientNorm(), GradientNorm()))
