"""Measures over rho and m."""

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.plots.sharpness_curves import curves_figure, swept
from landscape.results import MeasureResult, SharpnessResult


def curves(drawn):
    return [trace for trace in drawn.data if not trace.fill and not (trace.meta or {}).get("mark")]


def test_measures_over_rho_are_curves_with_bands_of_one_standard_error():
    results = {"a": kinds.sweep("a"), "b": kinds.sweep("b", 3.0)}
    assert set(swept(results)) == {
        "SAM sharpness", "worst-case sharpness, p = 2", "worst-case sharpness, p = inf",
    }  # fmt: skip
    drawn = curves_figure(results)
    sam = [trace for trace in curves(drawn) if trace.xaxis == "x"]
    for trace, scale in zip(sam, (1.0, 3.0), strict=True):
        np.testing.assert_array_equal(trace.x, [0.01, 0.02, 0.05, 0.1])
        np.testing.assert_allclose(trace.y, scale * trace.x**2)
    band = drawn.data[0]
    np.testing.assert_allclose(band.y[:4], 1.1 * np.array([0.01, 0.02, 0.05, 0.1]) ** 2)
    assert drawn.layout.xaxis.type == "log"
    assert list(drawn.layout.xaxis.ticktext) == ["0.01", "0.02", "0.05", "0.1"]
    assert sum(trace.showlegend is not False for trace in curves(drawn)) == 2


def test_m_sharpness_runs_over_m_and_settings_that_differ_are_not_joined():
    found = swept({"a": kinds.sweep("a")}, over="m")
    assert {name: [m.parameters["m"] for m in by["a"]] for name, by in found.items()} == {
        "m-sharpness, ρ = 0.05": [32, 64, 128]
    }
    pairs = [
        MeasureResult(
            "average", f"average-case sharpness, ρ = {rho}", rho, np.nan, "", 1, {"rho": rho, "adaptive": adaptive}
        )
        for rho in (0.1, 0.2)
        for adaptive in (True, False)
    ]
    names = swept({"a": SharpnessResult(tuple(pairs))})
    assert {name: len(by["a"]) for name, by in names.items()} == {
        "average-case sharpness": 2,
        "average-case sharpness (2)": 2,
    }


def test_what_was_taken_once_is_no_curve():
    with pytest.raises(LandscapeError, match="at several ρ"):
        curves_figure({"a": kinds.make.sharpness("a")})
