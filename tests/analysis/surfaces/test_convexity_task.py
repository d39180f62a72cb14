"""Convexity maps shared by workers: the values of one process to the bit, point by point or row by row."""

import dataclasses

import numpy as np
import pytest
import torch
from cases.workers import PackedWorkers
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.convexity import empty_convexity, measure_convexity
from landscape.analysis.surfaces.convexity_task import ConvexitySettings
from landscape.results import ConvexityResult


def problem() -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
    x, y = torch.randn(30, 5), torch.randint(0, 4, (30,))
    return Objective(model, "cross_entropy", x, y, precision="float64", device="cpu")


@pytest.mark.parametrize("quick", [False, True])
def test_workers_give_the_values_of_one_process(quick: bool) -> None:
    objective = problem()
    plane = random_plane(objective)
    axes = np.linspace(-1, 1, 5), np.array([-0.5, 0.0, 0.5])
    settings = ConvexitySettings(quick=quick, max_products=50, seed=3)
    begun = empty_convexity(objective, *axes)
    alone = measure_convexity(objective, plane, begun, settings)
    workers, journal = PackedWorkers(), []
    shared = measure_convexity(objective, plane, begun, settings, workers=workers, on_point=journal.append)
    assert shared.points.tobytes() == alone.points.tobytes()
    assert len(workers.requests) == (3 if quick else 15)
    assert [len(rows) for rows in journal] == [4] * 15  # finished points are kept one by one

    half = dataclasses.replace(begun, points=np.concatenate(journal[:7]))
    resumed = measure_convexity(objective, plane, half, settings, workers=PackedWorkers())
    assert isinstance(resumed, ConvexityResult)
    assert resumed.points.tobytes() == alone.points.tobytes()
