"""Panels of training dynamics over one axis: bands of eigenvalues, the edge, errors, and hidden quantities."""

import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError
from landscape.figures.plots.dynamics import dynamics_figure, panels_of
from landscape.stats.dynamics import empty_dynamics


def test_curvature_comes_first_with_the_edge_and_all_panels_share_the_axis():
    run = kinds.dynamics()
    titles = [panel.title for panel in panels_of({"a": run})]
    assert titles == ["Hessian eigenvalues", "SAM sharpness, ρ = 0.05", "gradient norm", "loss"]
    figure = dynamics_figure({"a": run})
    assert {axis.matches for axis in figure.select_xaxes()} == {None, "x4"}  # zooming one zooms all
    top = next(trace for trace in figure.data if trace.name == "a" and trace.yaxis == "y" and not trace.fill)
    np.testing.assert_array_equal(top.y, run.series("lambda_max"))
    (edge,) = [trace for trace in figure.data if trace.line.dash == "dash" and trace.yaxis == "y"]
    assert set(edge.y) == {50.0}
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert (min(band.y), max(band.y)) == (run.series("lambda_5").min(), run.series("lambda_max").max())


def test_the_edge_of_adam_is_drawn_with_the_preconditioned_eigenvalue():
    figure = dynamics_figure({"a": kinds.dynamics(adam=True)})
    edges = [trace.yaxis for trace in figure.data if trace.line.dash == "dash" and trace.name.endswith("2/η")]
    assert edges == ["y2"]


def test_a_test_loss_is_dashed_and_a_missing_value_is_a_gap():
    run = kinds.dynamics()
    values = run.values.copy()
    values[run.quantities.index("gradient_norm"), 2] = np.inf
    figure = dynamics_figure({"a": type(run)(run.position, run.quantities, values, run.errors, run.attributes)})
    test = next(trace for trace in figure.data if trace.name == "a · test")
    assert test.line.dash == "dash"
    slope = next(trace for trace in figure.data if trace.yaxis == "y3")
    assert np.isnan(slope.y[2])


def test_runs_without_quantities_are_refused():
    with pytest.raises(LandscapeError, match="at least one quantity"):
        dynamics_figure({"a": empty_dynamics()})
