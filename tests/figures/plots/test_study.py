"""Scatter plots of studies with Kendall's tau."""

import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.plots.study import study_figure, tau_text


def test_a_study_has_a_scatter_for_each_measure_and_tells_tau():
    study = kinds.study(8)
    drawn = study_figure({"study": study})
    panels = {}
    for trace in drawn.data:
        panels.setdefault(trace.xaxis, []).append(trace)
    assert len(panels) == 3
    for row, traces in zip(study.values, panels.values(), strict=True):
        points = sorted((x, y, t) for trace in traces for x, y, t in zip(trace.x, trace.y, trace.text, strict=True))
        assert points == sorted(zip(row.tolist(), study.gap.tolist(), study.checkpoints, strict=True))
    assert {trace.name for trace in drawn.data} == {"adam", "sam"}
    words = [note.text for note in drawn.layout.annotations]
    assert words[0].endswith("τ = 0.90 [0.60, 1.00]")
    assert words[1].endswith("τ = −0.07 [−0.50, 0.40]")
    assert tau_text(study, 2) == "τ not defined"
    errors = [trace.error_x.array for trace in panels["x2"]]
    assert all(error is not None and set(error) == {0.1} for error in errors)


def test_several_studies_differ_by_study_and_measures_can_be_chosen():
    drawn = study_figure({"a": kinds.study(8), "b": kinds.study(6)}, measures=["λ_max of the Hessian"])
    assert [trace.name for trace in drawn.data] == ["a", "b"]
    assert [len(trace.x) for trace in drawn.data] == [8, 6]
    with pytest.raises(LandscapeError, match="at least one measure"):
        study_figure({})
