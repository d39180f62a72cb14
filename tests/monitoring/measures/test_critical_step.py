"""The critical step size against its closed form on a quadratic, and its number of forward passes."""

import math

import pytest
import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.monitoring.measures.critical_step import CriticalStep, bracket
from landscape.monitoring.monitor import Monitor


class Quadratic(nn.Module):
    """Outputs √λ w, so that the mean squared error to 0 is mean(λ w²)."""

    def __init__(self, curvatures):
        super().__init__()
        self.w = nn.Parameter(torch.ones(len(curvatures)))
        self.roots = torch.tensor(curvatures).sqrt()

    def forward(self, x):
        return x * (self.roots * self.w)


@pytest.mark.parametrize("step_size", [1e-4, 1e-2, 0.3])
def test_critical_sharpness_of_gradient_descent_is_the_curvature_along_the_gradient(step_size):
    curvatures = [8.0, 2.0, 0.5]
    model = Quadratic(curvatures)
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size)
    objective = Objective(model, "mse", torch.ones(1, 3), torch.zeros(1, 3), device="cpu")
    measure = CriticalStep(tolerance=0.01, passes=40)
    monitor = Monitor(objective, every=1, measures=[measure])
    monitor.step(0, model, optimizer)
    model(torch.ones(1, 3)).square().mean().backward()
    optimizer.step()
    readings = monitor.step(1, model, optimizer)
    hessian = 2 / 3 * torch.tensor(curvatures)
    g = hessian * torch.ones(3)
    exact = float((g * hessian * g).sum() / (g * g).sum())
    error = monitor.result.error("critical_sharpness")[-1]
    assert readings["critical_sharpness"] == pytest.approx(exact, abs=1.001 * error)
    assert error < 0.01 * exact
    assert readings["critical_step_size"] == pytest.approx(2 / exact, rel=0.01)


def test_a_probe_takes_fewer_than_ten_forward_passes_and_six_from_the_last_value_on():
    passes = 0

    def rises(x):
        nonlocal passes
        passes += 1
        return x > 0.07

    low, high = bracket(rises, 1.0, 1 / 16, CriticalStep().passes - 1)
    assert low <= 0.07 <= high
    assert passes <= 8  # and the loss before the update
    passes = 0
    bracket(rises, (low + high) / 2, 1 / 16, CriticalStep().passes - 1)
    assert passes <= 6


def test_a_critical_step_that_is_not_found_or_has_no_update_is_nan():
    assert bracket(lambda x: False, 1.0, 0.1, 5) == (16.0, math.inf)
    assert bracket(lambda x: True, 1.0, 0.1, 5) == (0.0, 1 / 16)
    model = Quadratic([1.0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    objective = Objective(model, "mse", torch.ones(1, 1), torch.zeros(1, 1), device="cpu")
    readings = Monitor(objective, every=1, measures=["critical_step"]).step(5, model, optimizer)
    assert math.isnan(readings["critical_step_size"])
    assert math.isnan(readings["critical_sharpness"])


def test_a_loss_that_diverges_along_the_update_counts_as_risen():
    assert bracket(lambda x: not (math.inf if x > 2 else 0.5) <= 1.0, 8.0, 0.3, 9)[0] == pytest.approx(2.0)


def test_a_search_that_ended_early_goes_on_from_there_at_the_next_probe():
    model = Quadratic([1e-4])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    objective = Objective(model, "mse", torch.ones(1, 1), torch.zeros(1, 1), device="cpu")
    monitor = Monitor(objective, every=1, measures=[CriticalStep(passes=6)])
    found = []
    for step in range(5):
        optimizer.zero_grad()
        model(torch.ones(1, 1)).square().mean().backward()
        optimizer.step()
        found.append(monitor.step(step, model, optimizer)["critical_step_size"])
    assert all(map(math.isnan, found[:3]))
    assert found[-1] == pytest.approx(1e4, rel=1 / 2)
