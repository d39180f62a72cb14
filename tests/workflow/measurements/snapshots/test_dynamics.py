"""Dynamics over snapshots: against one-shot values, its warm start, its edge, and its resuming."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import landscape
from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.preconditioned import adam_state
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes.snapshots import find_snapshots
from landscape.analysis.sharpness import SamSharpness
from landscape.stats.stability import StepRule
from landscape.storage.loading import load
from landscape.workflow.measurements.snapshots.dynamics import Dynamics, StepSizes


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(60, 1, 6, 6, generator=generator)
    labels = (images.mean(dim=(1, 2, 3)) > 0).long() + (images[:, 0, 0, 0] > 0)
    return {"train": (images[:40], labels[:40]), "test": (images[40:], labels[40:])}


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A short run of Adam: the model after it, its snapshots, and Adam's state at each."""
    folder, model, states = tmp_path_factory.mktemp("run"), network(), {}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(5):
        save_file(dict(model.state_dict()), folder / f"epoch-{epoch:04d}.safetensors")
        if epoch:
            state = adam_state(optimizer, dict(model.named_parameters()))
            moments = {name: v.clone() for name, v in state.second_moments.items()}
            states[float(epoch)] = type(state)(moments, state.step, state.betas, state.eps)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data["train"][0]), data["train"][1]).backward()
            optimizer.step()
    return model, find_snapshots(folder), states


def at_snapshot(snapshots, index, data):
    model = network()
    model.load_state_dict(snapshots[index])
    return Objective(model, "cross_entropy", data, device="cpu")


def test_values_over_snapshots_are_those_of_each_snapshot_alone(run, data, tmp_path):
    model, snapshots, _ = run
    sharpness = SamSharpness(rho=0.1)
    objective = Objective(model, "cross_entropy", data, device="cpu")
    with landscape.AnalysisFile(tmp_path / "f.h5") as file:
        result = file.measure(Dynamics(snapshots, top=3, measures=(sharpness,)), objective, name="a/dynamics")
    cold = 0
    for index, position in enumerate(snapshots.positions):
        assert result.position[index] == position
        alone = at_snapshot(snapshots, index, data)
        exact = hessian(alone, top=3)
        cold += exact.products
        for number, name in enumerate(("lambda_max", "lambda_2", "lambda_3")):
            bound = result.error(name)[index] + exact.bounds[number]
            assert result.series(name)[index] == pytest.approx(exact.eigenvalues[number], abs=bound), name
            assert result.error(name)[index] <= 1e-3 * max(exact.eigenvalues[number], 0.1 * exact.eigenvalues[0])
        assert result.series(sharpness.label)[index] == pytest.approx(sharpness.measure(alone).value, rel=1e-5)
        means = alone.evaluate()
        assert result.series("test_accuracy")[index] == means["test"]["accuracy"].value
        gap = means["test"]["loss"].value - means["train"]["loss"].value
        assert result.series("generalization_gap")[index] == pytest.approx(gap, rel=1e-6)
    assert np.isfinite(result.error("gradient_norm")).all()
    assert result.series("products")[1:].sum() < cold - result.series("products")[0]  # the warm start saves products


def test_a_killed_measurement_resumes_after_its_last_snapshot(run, data, tmp_path, monkeypatch):
    model, snapshots, _ = run
    objective = Objective(model, "cross_entropy", data, device="cpu")
    measurement = Dynamics(snapshots, top=2)
    with landscape.AnalysisFile(tmp_path / "whole.h5") as file:
        whole = file.measure(measurement, objective, name="a/dynamics")
    measure, taken = Dynamics._readings, []

    def killed(self, at, position, vectors):
        taken.append(position)
        if position == 2:
            raise KeyboardInterrupt
        return measure(self, at, position, vectors)

    monkeypatch.setattr(Dynamics, "_readings", killed)
    with pytest.raises(KeyboardInterrupt), landscape.AnalysisFile(tmp_path / "f.h5") as file:
        file.measure(measurement, objective, name="a/dynamics")
    part = load(tmp_path / "f.h5")["a/dynamics"]
    assert (part.finished, part.position.tolist()) == (False, [0, 1])
    assert len(landscape.figure(part).data) > 0
    monkeypatch.setattr(Dynamics, "_readings", measure)
    with landscape.AnalysisFile(tmp_path / "f.h5") as file:
        resumed = file.measure(measurement, objective, name="a/dynamics")
    assert resumed.finished
    assert taken == [0, 1, 2]
    np.testing.assert_array_equal(resumed.position, whole.position)
    np.testing.assert_array_equal(resumed.values[:, :2], part.values)
    for name in whole.quantities:
        if name != "products":
            bound = np.nan_to_num(whole.error(name) + resumed.error(name)) + 1e-6
            assert (np.abs(resumed.series(name) - whole.series(name)) <= bound).all(), name


def test_the_edge_of_adam_comes_with_the_preconditioned_eigenvalue(run, data, tmp_path):
    model, snapshots, states = run
    objective = Objective(model, "cross_entropy", data, device="cpu")
    steps = StepSizes(StepRule("adam", 0.9), dict.fromkeys(map(float, range(1, 5)), 0.02), states)
    with landscape.AnalysisFile(tmp_path / "f.h5") as file:
        result = file.measure(Dynamics(snapshots, top=1, steps=steps), objective, name="a/dynamics")
        lacking = file.measure(
            Dynamics(snapshots[::4], top=1, steps=StepSizes(StepRule("adam", 0.9))), objective, name="a/without"
        )
    np.testing.assert_allclose(result.series("edge")[1:], 38 / 0.02)
    assert math.isnan(result.series("edge")[0])
    assert np.isfinite(result.series("preconditioned_lambda_max")[1:]).all()
    assert "lack Adam's second moments" in lacking.attributes["warnings"][0]
    figure = landscape.figure(result)
    titles = [axis.title.text for axis in figure.select_yaxes()]
    assert titles[:2] == ["Hessian eigenvalues", "Preconditioned λ_max"]
    assert any(trace.line.dash == "dash" and trace.yaxis == "y2" for trace in figure.data)  # the edge beside it


def test_a_slice_of_the_snapshots_keeps_their_epochs(run, data, tmp_path):
    model, snapshots, _ = run
    objective = Objective(model, "cross_entropy", {"train": data["train"]}, device="cpu")
    with landscape.AnalysisFile(tmp_path / "f.h5") as file:
        result = file.measure(Dynamics(snapshots[::2], top=0), objective, name="a/dynamics")
    assert result.position.tolist() == [0, 2, 4]
    assert result.quantities == ("gradient_norm", "train_loss", "train_accuracy")
