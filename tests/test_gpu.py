"""Measurements on CUDA against the CPU's numbers, and without waiting; skipped where there is no device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cases.gpu import CUDA_ONLY, DEVICE, GPU, no_waiting
from torch.utils.data import DataLoader, TensorDataset

import landscape
from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.autotune.batch_size import choose_batch_size
from landscape.analysis.objective.autotune.precision_policy import choose_precision
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.planes import random_plane
from landscape.analysis.sharpness import sharpness, usual_measures
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.grids.grid import Request
from landscape.analysis.surfaces.measuring import Measurer
from landscape.analysis.surfaces.surface import surface
from landscape.data import load_dataset
from landscape.execution import open as open_workers
from landscape.models import build

pytestmark = GPU

SINGLE = Evaluation("float32")

DIGITS = load_dataset("digits")
N = 100
INPUTS, LABELS = DIGITS.splits["train"].inputs[:N], DIGITS.splits["train"].labels[:N]


def preprocess(images: torch.Tensor) -> torch.Tensor:
    return DIGITS.preprocess(images)


def objective(device: str = DEVICE, precision: str = "float32", data: Any = None, **options: Any) -> Objective:
    torch.manual_seed(0)
    model = build("resnet20", in_channels=1)
    given = (INPUTS, LABELS) if data is None else (data,)
    options = {"preprocess": preprocess, **options} if data is None else options
    return Objective(model, "cross_entropy", *given, device=device, precision=precision, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("fold", [True, False])
def test_values_gradients_and_eigenvalues_are_the_cpus(fold: bool) -> None:
    cpu, gpu = (objective(device, "float64", fold=fold) for device in ("cpu", DEVICE))
    assert gpu.is_folded == cpu.is_folded == fold
    np.testing.assert_allclose(gpu.loss(), cpu.loss(), rtol=1e-10)
    (_, a), (_, b) = cpu.gradient(), gpu.gradient()
    for name in a:
        torch.testing.assert_close(b[name].cpu(), a[name], rtol=1e-8, atol=1e-12)
    top = [hessian(o, top=2, tolerance=1e-6).eigenvalues for o in (cpu, gpu)]
    np.testing.assert_allclose(top[1], top[0], rtol=1e-5)


@pytest.mark.parametrize("operator", ["hessian", "ggn", "fisher"])
def test_products_are_the_cpus_and_repeat(operator: str) -> None:
    cpu, gpu = (CurvatureOperator(objective(device, "float64"), operator) for device in ("cpu", DEVICE))
    vectors = torch.randn(cpu.size, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected, found = cpu.matvec(vectors), gpu.matvec(vectors.to(DEVICE))
    assert found.device.type == torch.device(DEVICE).type
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gpu.matvec(vectors), expected, rtol=1e-6, atol=1e-9)  # from the kept graphs
    assert gpu.recorded == 1.0
    gpu.release()
    torch.testing.assert_close(gpu.matvec(vectors), expected, rtol=1e-6, atol=1e-9)


def test_float32_is_not_rounded_to_tf32() -> None:
    double, single = objective(precision="float64"), objective()
    np.testing.assert_allclose(single.loss(), double.loss(), rtol=1e-6)
    vector = torch.ones(double.size, dtype=torch.float64, device=DEVICE)
    exact, found = CurvatureOperator(double).matvec(vector), CurvatureOperator(single).matvec(vector)
    assert float((found - exact).norm() / exact.norm()) < 1e-4


@pytest.mark.parametrize("batchnorm", ["fixed", "recalibrated", "batch"])
def test_batchnorm_modes_are_the_cpus(batchnorm: str) -> None:
    losses = []
    for device in ("cpu", DEVICE):
        found = objective(device, "float64", batchnorm=batchnorm, batch_size=50)
        losses.append(found.loss(random_plane(found).at(0.3, -0.2)))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-8)


def test_pinned_batches_of_a_loader_are_those_of_tensors() -> None:
    images = preprocess(INPUTS)
    loader = DataLoader(TensorDataset(images, LABELS), batch_size=64, pin_memory=torch.cuda.is_available())
    np.testing.assert_allclose(objective(data=loader).loss(), objective().loss(), rtol=1e-5)


def test_a_surface_draws_the_same_directions_and_gives_the_same_losses() -> None:
    a, b = (surface(objective(device), points=5, evaluation=SINGLE) for device in ("cpu", DEVICE))
    assert a.attributes["directions"]["hashes"] == b.attributes["directions"]["hashes"]
    np.testing.assert_allclose(b.grid(), a.grid(), rtol=1e-3)
    chosen = surface(objective(), points=5)
    assert chosen.attributes["precision_error"] is None or chosen.attributes["precision_error"] <= 0.01


def test_points_in_flight_are_those_one_by_one() -> None:
    found = objective()
    measurer = Measurer(found, random_plane(found), ("train",), EvaluationSettings("bfloat16", None, 64), True)
    requests = [Request(0, 0.1 * i, -0.05 * i) for i in range(9)]
    alone = [measurer.rows(measurer.launch(request)) for request in requests]
    for rows, expected in zip(measurer(requests), alone, strict=True):
        np.testing.assert_array_equal(
            rows[["alpha", "beta", "split", "metric"]], expected[["alpha", "beta", "split", "metric"]]
        )
        np.testing.assert_allclose(rows["value"], expected["value"], rtol=1e-6)


@CUDA_ONLY
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_launching_a_point_does_not_wait(precision: Any) -> None:
    found = objective()
    measurer = Measurer(found, random_plane(found), ("train",), EvaluationSettings(precision, None, 64))
    expected = measurer.rows(measurer.launch(Request(0, 0.1, 0.2)))  # prepares the batches
    with no_waiting():
        pending = [measurer.launch(Request(0, 0.1, 0.2)) for _ in range(3)]
    for each in pending:
        np.testing.assert_allclose(measurer.rows(each)["value"], expected["value"], rtol=1e-6)


class StoppedError(Exception):
    """Stands for a kill."""


def test_a_stopped_surface_resumes_from_its_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = landscape.Surface(points=3, evaluation=SINGLE)
    whole = surface(objective(), points=3, evaluation=SINGLE)
    measure, count = Measurer.rows, 0

    def stopping(self: Measurer, done: Any) -> Any:
        nonlocal count
        count += 1
        if count == 5:
            raise StoppedError
        return measure(self, done)

    monkeypatch.setattr(Measurer, "rows", stopping)
    with landscape.AnalysisFile(tmp_path / "a.h5") as file, pytest.raises(StoppedError):
        file.measure(plan, objective(), name="a/plane")
    count = -100
    with landscape.AnalysisFile(tmp_path / "a.h5") as file:
        resumed = file.measure(plan, objective(), name="a/plane")
    assert count == -100 + 5  # of 9 points 4 were stored
    np.testing.assert_allclose(resumed.grid(), whole.grid(), rtol=1e-6)


def test_a_worker_process_gives_the_same_values() -> None:
    alone = surface(objective(), points=3, evaluation=SINGLE)
    with open_workers(1, "processes") as workers:
        shared = surface(objective(), points=3, evaluation=Evaluation("float32", workers=workers))
    np.testing.assert_allclose(shared.grid(), alone.grid(), rtol=1e-6)


def test_precision_and_batch_size_are_chosen_by_measurement() -> None:
    found = objective()
    plane = random_plane(found)
    choice = choose_precision(found, [(plane.at(0.5, 0.5), None)], tolerance=0.05, splits=("train",))
    assert choice.precision in ("float32", "bfloat16")
    size, rate = choose_batch_size(found, choice.precision)
    assert 0 < size <= N
    assert rate > 0


def test_sharpness_agrees_with_the_cpus() -> None:
    a, b = (sharpness(objective(device), usual_measures(pairs=3)) for device in ("cpu", DEVICE))
    np.testing.assert_allclose([m.value for m in b.measures], [m.value for m in a.measures], rtol=2e-2)


def test_trace_and_density_agree_with_the_cpus() -> None:
    cpu, gpu = objective("cpu"), objective()
    traces = [landscape.trace(o, products=12) for o in (cpu, gpu)]
    assert traces[1].trace == pytest.approx(traces[0].trace, rel=1e-2)
    densities = [landscape.density(o, vectors=1, steps=5, sigma=1.0) for o in (cpu, gpu)]
    np.testing.assert_allclose(densities[1].nodes, densities[0].nodes, rtol=1e-2, atol=1e-2)
