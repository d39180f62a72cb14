"""The CUDA path against the CPU's numbers; run where there is a device, skipped elsewhere."""

import numpy as np
import pytest
import torch

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import sharpness, usual_measures
from landscape.analysis.surfaces.evaluation import Evaluation
from landscape.analysis.surfaces.surface import surface
from landscape.data import load_dataset
from landscape.models import build
from landscape.training import TrainConfig, train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def objective(device: str, precision: str = "float32") -> Objective:
    torch.manual_seed(0)
    model = build("resnet20", in_channels=1)
    digits = load_dataset("digits")
    train = digits.splits["train"]
    return Objective(
        model,
        "cross_entropy",
        train.inputs[:200],
        train.labels[:200],
        device=device,
        precision=precision,  # type: ignore[arg-type]
        preprocess=digits.preprocess,
    )


def test_values_gradients_and_products_are_the_cpus() -> None:
    cpu, gpu = objective("cpu", "float64"), objective("cuda", "float64")
    assert gpu.path == cpu.path == "folded"
    np.testing.assert_allclose(gpu.loss(), cpu.loss(), rtol=1e-10)
    (_, a), (_, b) = cpu.gradient(), gpu.gradient()
    for name in a:
        torch.testing.assert_close(b[name].cpu(), a[name], rtol=1e-8, atol=1e-12)
    top = [hessian(o, top=2, tolerance=1e-6).eigenvalues for o in (cpu, gpu)]
    np.testing.assert_allclose(top[1], top[0], rtol=1e-5)


def test_a_surface_draws_the_same_directions_and_gives_the_same_losses() -> None:
    a, b = (
        surface(objective(device), points=5, evaluation=Evaluation(precision="float32")) for device in ("cpu", "cuda")
    )
    assert a.attributes["directions"]["seed"] == b.attributes["directions"]["seed"]
    np.testing.assert_allclose(b.grid(), a.grid(), rtol=1e-3)
    chosen = surface(objective("cuda"), points=5)
    assert chosen.attributes["precision_error"] is None or chosen.attributes["precision_error"] <= 0.01


def test_sharpness_agrees_with_the_cpus() -> None:
    a, b = (sharpness(objective(device), usual_measures(pairs=3)) for device in ("cpu", "cuda"))
    np.testing.assert_allclose([m.value for m in b.measures], [m.value for m in a.measures], rtol=2e-2)


def test_training_learns_on_the_device() -> None:
    for recipe in ("adam", "sam"):
        config = TrainConfig(recipe=recipe, epochs=4, batch_size=64, precision="bfloat16", device="cuda")
        assert train(config, load_dataset("digits")).final["test_accuracy"] > 0.8
