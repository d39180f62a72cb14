"""The top of a spectrum by way of a cheaper neighbour: right where that is near, and where it knows nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from cases.curvature_problem import quadratic
from torch import nn
from torch.nn import functional as F

from landscape.analysis.curvature import eigenvalues as curvature
from landscape.analysis.curvature import warm_start as neighbour
from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator

N = 60
INPUTS = torch.randn(N, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = (INPUTS @ torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)).argmax(1)


def classifier(steps: int) -> nn.Module:
    """Return a small network after some training, which makes the GGN near the Hessian."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 3)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
    return model


def exact_eigenvalues(model: nn.Module) -> np.ndarray:
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(F.cross_entropy(model(INPUTS), LABELS), parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradient])
    rows = [torch.cat([r.flatten() for r in torch.autograd.grad(g, parameters, retain_graph=True)]) for g in flat]
    return np.linalg.eigvalsh(torch.stack(rows).numpy())[::-1]


@pytest.fixture
def _taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the neighbour though these networks are too small for it to be worth it."""

    def cheap(objective: Objective, exact: CurvatureOperator, _: float) -> CurvatureOperator:
        operator = "ggn" if exact.operator == "hessian" else exact.operator
        return CurvatureOperator(objective, operator, split=exact.split, precision="bfloat16")

    monkeypatch.setattr(curvature, "surrogate_operator", cheap)


@pytest.mark.usefixtures("_taken")
@pytest.mark.parametrize("steps", [0, 5, 30, 100])
@pytest.mark.parametrize("top", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_eigenvalues_are_those_of_the_dense_float64_matrix(steps: int, top: int, seed: int) -> None:
    model = classifier(steps)
    exact = exact_eigenvalues(model)
    objective = Objective(model, "cross_entropy", INPUTS, LABELS, device="cpu", batch_size=25)
    found = hessian(objective, top=top, tolerance=1e-3, seed=seed)
    assert (np.abs(found.eigenvalues - exact[:top]) <= found.bounds + 1e-6 * exact[0]).all()
    assert found.converged.all()
    assert (found.bounds <= 1e-3 * np.maximum(exact[:top], 0.1 * exact[0]) * 1.01).all()


@pytest.mark.usefixtures("_taken")
def test_near_a_minimum_few_exact_products_are_left() -> None:
    objective = Objective(classifier(100), "cross_entropy", INPUTS, LABELS, device="cpu")
    found = hessian(objective, top=3, tolerance=1e-3)
    assert found.attributes["method"] == "Lanczos on the bfloat16 ggn, then Rayleigh–Ritz on the float32 hessian"
    used = found.attributes["products_by_operator"]
    assert found.products == sum(used.values())
    assert used["float32 hessian"] <= 3 + neighbour.MOST_GUARDS + 3
    assert used["bfloat16 ggn"] > 0


@pytest.mark.usefixtures("_taken")
@pytest.mark.parametrize("spectrum", [[9.0, 4, 4, 1, 0.5, 0, -0.5, -3], [5.0, 5, 5, 1, 0, -9]])
def test_a_neighbour_that_knows_nothing_misleads_nobody(spectrum: list[float]) -> None:
    """The loss is the network's own output, so that the GGN is zero."""
    found = hessian(quadratic(spectrum, precision="float32"), top=3, tolerance=1e-4)
    np.testing.assert_allclose(found.eigenvalues, spectrum[:3], rtol=1e-4)
    assert found.converged.all()
    assert found.attributes["method"] == "Lanczos on the float32 hessian"


@pytest.mark.parametrize(("emulated", "cost", "taken"), [(True, 0.1, False), (False, 0.8, False), (False, 0.1, True)])
def test_it_is_taken_where_it_is_measured_to_be_cheap(
    monkeypatch: pytest.MonkeyPatch, emulated: bool, cost: float, taken: bool
) -> None:
    timed = []

    def seconds(self: CurvatureOperator) -> float:
        timed.append(self.operator)
        return 1.0 if self.operator == "hessian" else cost

    monkeypatch.setattr(CurvatureOperator, "seconds_per_example", seconds)
    monkeypatch.setattr(neighbour, "emulates_bfloat16", lambda *_: emulated)
    objective = Objective(classifier(0), "cross_entropy", INPUTS, LABELS, device="cpu")
    product: Any = neighbour.surrogate_operator(objective, CurvatureOperator(objective), 1e-3)
    assert (product is not None) == taken
    assert bool(timed) != emulated  # a whole batch of emulated bfloat16 would take a quarter of a minute
