"""Surfaces around snapshots: equal to surfaces of each alone along the final directions, and resumed after a kill."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes.snapshots import find_snapshots
from landscape.errors import LandscapeError
from landscape.storage.loading import load
from landscape.workflow.measurements.snapshots import surface_series as module
from landscape.workflow.measurements.snapshots.surface_series import SurfaceSeries

AXES, FLOAT32 = landscape.Axes(3, span=0.5), landscape.Evaluation(precision="float32")
INPUTS = torch.randn(24, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 3


def network(epoch):
    with torch.random.fork_rng():
        torch.manual_seed(epoch)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.fixture
def snapshots(tmp_path):
    for epoch in range(3):
        state = network(epoch).state_dict()
        state["1.running_mean"] += 0.1 * epoch
        save_file(dict(state), tmp_path / f"epoch-{epoch:04d}.safetensors")
    return find_snapshots(tmp_path)


def objective():
    return Objective(network(2), "cross_entropy", {"train": (INPUTS, LABELS)}, device="cpu")


def test_each_surface_is_that_of_its_snapshot_along_the_directions_of_the_final_weights(snapshots, tmp_path):
    with landscape.AnalysisFile(tmp_path / "f.h5") as file:
        series = file.measure(SurfaceSeries(snapshots, axes=AXES, evaluation=FLOAT32), objective(), name="a/series")
    final = landscape.random_plane(objective(), seed=0)
    for index in range(3):
        model = network(index)
        model.load_state_dict(snapshots[index])
        alone = Objective(model, "cross_entropy", {"train": (INPUTS, LABELS)}, device="cpu")
        plane = dataclasses.replace(final, origin=alone.origin)
        expected = landscape.surface(alone, plane, axes=AXES, evaluation=FLOAT32)
        np.testing.assert_allclose(series.grids()[index], expected.grid("loss")[0], rtol=1e-6)
        np.testing.assert_array_equal(series.grids("accuracy")[index], expected.grid("accuracy")[0])
        assert series.grids()[index][1, 1] == pytest.approx(alone.loss(), rel=1e-6)
    np.testing.assert_array_equal(series.position, [0, 1, 2])


def test_a_killed_series_is_resumed_to_the_same_bits(snapshots, tmp_path, monkeypatch):
    measurement = SurfaceSeries(snapshots, axes=AXES, evaluation=FLOAT32)
    with landscape.AnalysisFile(tmp_path / "whole.h5") as file:
        whole = file.measure(measurement, objective(), name="a/series")
    surface, count = module.surface, 0

    def killed(*arguments, **options):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return surface(*arguments, **options)

    monkeypatch.setattr(module, "surface", killed)
    with pytest.raises(KeyboardInterrupt), landscape.AnalysisFile(tmp_path / "f.h5") as file:
        file.measure(measurement, objective(), name="a/series")
    monkeypatch.undo()
    part = load(tmp_path / "f.h5")["a/series"]
    assert (part.finished, part.position.tolist()) == (False, [0, 1])
    with landscape.AnalysisFile(tmp_path / "f.h5") as file:
        resumed = file.measure(measurement, objective(), name="a/series")
    assert resumed.values.tobytes() == whole.values.tobytes()


def test_a_line_or_a_plane_of_known_points_is_refused(snapshots):
    with pytest.raises(LandscapeError, match="expected a plane around one checkpoint"):
        SurfaceSeries(snapshots, plane=landscape.RandomPlane(line=True))
