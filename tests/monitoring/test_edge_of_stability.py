"""Progressive sharpening up to the edge of stability (Cohen et al. 2021, arXiv:2103.00065), as the monitor sees it."""

import numpy as np
import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.figures.plots.dynamics import dynamics_figure
from landscape.monitoring.measures.lambda_max import LambdaMax
from landscape.monitoring.monitor import Monitor


def test_gradient_descent_sharpens_up_to_two_over_the_step_size_and_hovers_there():
    """Full-batch gradient descent on a tanh network with squared error, fitted to a Chebyshev polynomial."""
    edge = 20.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(1, 30), nn.Tanh(), nn.Linear(30, 30), nn.Tanh(), nn.Linear(30, 1))
    inputs = torch.linspace(-1, 1, 20)[:, None]
    targets = torch.cos(4 * torch.acos(inputs))
    optimizer = torch.optim.SGD(model.parameters(), lr=2 / edge)
    objective = Objective(model, "mse", inputs, targets, device="cpu")
    monitor = Monitor(objective, every=50, measures=[LambdaMax(tolerance=1e-3), "gradient_norm"])
    for step in range(1, 2001):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
        monitor.step(step, model, optimizer)
    result = monitor.result
    sharpness, loss = result.series("lambda_max"), result.series("train_loss")
    np.testing.assert_array_equal(result.series("edge"), edge)
    assert sharpness[0] < 0.7 * edge
    first = int(np.flatnonzero(sharpness > edge)[0])
    assert (np.diff(sharpness[: first + 1]) > -0.1 * edge).all()  # it rises to the edge
    hovering = (sharpness[first:] - edge) / edge
    assert abs(np.median(hovering)) < 0.15
    assert (hovering > 0).mean() > 0.2  # and oscillates around it, instead of falling back
    assert loss[-1] < 0.3 * loss[0]  # while the loss goes on falling
    dashed = [trace for trace in dynamics_figure({"a": result}).data if trace.line.dash == "dash"]
    assert [trace.name for trace in dashed] == ["a · 2/η"]
