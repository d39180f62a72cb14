"""SAM and average-case sharpness on quadratics in closed form, and the measures together."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.directions import raw_direction
from landscape.analysis.objective import Objective
from landscape.analysis.sharpness import average_sharpness, largest_eigenvalue, sam_sharpness, sharpness

N = 16


class Quadratic(nn.Module):
    """½ Σ λ (w − x)² for each example x, plus a cubic term if asked."""

    def __init__(self, curvature: Tensor, w: Tensor, cubic: float = 0.0) -> None:
        super().__init__()
        self.curvature = nn.Buffer(curvature.double())
        self.a, self.b = nn.Parameter(w[:2].double().clone()), nn.Parameter(w[2:].double().clone().view(1, -1))
        self.cubic = cubic

    def forward(self, x: Tensor) -> Tensor:
        rest = torch.cat([self.a, self.b.flatten()]) - x
        return (0.5 * self.curvature * rest**2 + self.cubic * rest**3).sum(1)


CURVATURE = torch.tensor([4.0, 1.0, 0.5, 3.0, 2.0])
WEIGHTS = torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0])
EXAMPLES = torch.randn(N, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def identity(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs


def quadratic(
    w: Tensor = WEIGHTS, x: Tensor = EXAMPLES, *, cubic: float = 0.0, loss: Any = identity, **options: Any
) -> Objective:
    return Objective(
        Quadratic(CURVATURE, w, cubic), loss, x, torch.zeros(len(x)), device="cpu", precision="float64", **options
    )


# ---- SAM


@pytest.mark.parametrize("rho", [0.0, 0.05, 1.0])
def test_sam_on_a_quadratic(rho: float) -> None:
    measure = sam_sharpness(quadratic(batch_size=5), rho)
    lam, w, x = CURVATURE.numpy(), WEIGHTS.numpy(), EXAMPLES.numpy()
    g = lam * (w - x.mean(0))
    length = np.linalg.norm(g)
    assert measure.value == pytest.approx(rho * length + 0.5 * rho**2 * (lam @ g**2) / length**2, rel=1e-9, abs=1e-12)
    step = rho * g / length
    values = [0.5 * ((w + s - x) ** 2 @ lam) for s in (step, 0 * step)]
    paired = values[0] - values[1]
    assert measure.stderr == pytest.approx(paired.std(ddof=1) / math.sqrt(N), rel=1e-8, abs=1e-14)
    assert rho == 0 or abs(measure.stderr / (values[0].std(ddof=1) / math.sqrt(N)) - 1) > 0.05  # not the loss's own
    assert measure.parameters["gradient_norm"] == pytest.approx(length, rel=1e-9)


def test_a_zero_gradient_is_no_perturbation() -> None:
    measure = sam_sharpness(quadratic(WEIGHTS, WEIGHTS.double().expand(4, -1).clone()))
    assert (measure.value, measure.stderr) == (0.0, 0.0)


def test_sam_of_batch_means_has_no_standard_error() -> None:
    mean = sam_sharpness(quadratic(loss=lambda o, _: o.mean(), batch_size=5))
    assert mean.value == pytest.approx(sam_sharpness(quadratic()).value, rel=1e-12)
    assert math.isnan(mean.stderr)


def test_sam_of_a_network_is_two_passes_of_its_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    labels = torch.randint(0, 3, (N,))
    found = Objective(model, "cross_entropy", EXAMPLES, labels, device="cpu", precision="float64")
    measure = sam_sharpness(found, 0.3)
    before = F.cross_entropy(model(EXAMPLES), labels)
    gradient = torch.autograd.grad(before, list(model.parameters()))
    length = math.sqrt(sum(g.square().sum().item() for g in gradient))
    with torch.no_grad():
        for parameter, g in zip(model.parameters(), gradient, strict=True):
            parameter += 0.3 * g / length
    assert measure.value == pytest.approx((F.cross_entropy(model(EXAMPLES), labels) - before).item(), rel=1e-9)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_divergence_after_the_step_is_the_value(bad: float) -> None:
    class Wall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.where(self.w > 0.01, bad, self.w + x[:, 0])

    found = Objective(Wall(), identity, torch.ones(3, 1), torch.zeros(3), device="cpu", precision="float64")
    measure = sam_sharpness(found, 0.05)
    assert measure.value == pytest.approx(bad, nan_ok=True)
    assert math.isnan(measure.stderr)


# ---- average-case


@pytest.mark.parametrize("adaptive", [True, False])
def test_average_case_on_a_quadratic(adaptive: bool) -> None:
    rho, pairs = 0.3, 400
    measure = average_sharpness(quadratic(), rho, adaptive=adaptive, pairs=pairs, seed=2)
    c = WEIGHTS.abs().numpy() if adaptive else np.ones(5)
    lam = CURVATURE.numpy()
    expected = 0.5 * rho**2 * (lam @ c**2)
    sigma = math.sqrt(0.5 * rho**4 * ((lam * c**2) ** 2).sum())  # of ½ρ² Σ λ c² ε²
    assert abs(measure.value - expected) < 4 * sigma / math.sqrt(pairs)
    assert measure.stderr == pytest.approx(sigma / math.sqrt(pairs), rel=0.2)
    assert measure.evaluations == 1 + 2 * pairs


def test_odd_terms_cancel_in_every_pair() -> None:
    """Gradient and third derivative drop out of each pair, to rounding: only ½ δᵀ(∂²L)δ is left."""
    cubic, rho, pairs = 5.0, 0.1, 4
    measure = average_sharpness(quadratic(cubic=cubic), rho, pairs=pairs, seed=1)
    shapes = {"a": torch.Size([2]), "b": torch.Size([1, 3])}
    rises = []
    curvature = CURVATURE.double() + 6 * cubic * (WEIGHTS.double() - EXAMPLES).mean(0)
    for pair in range(pairs):
        noise = torch.cat([d.flatten() for d in raw_direction(shapes, 1, pair).values()]).double()
        rises.append((0.5 * curvature @ (rho * WEIGHTS.abs().double() * noise) ** 2).item())
    assert measure.value == pytest.approx(np.mean(rises), rel=1e-9)
    assert measure.stderr == pytest.approx(np.std(rises, ddof=1) / math.sqrt(pairs), rel=1e-8)


def test_weights_that_are_zero_do_not_move() -> None:
    seen: list[Tensor] = []

    class Watched(Quadratic):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch.cat([self.a, self.b.flatten()]).detach().clone())
            return super().forward(x)

    found = Objective(
        Watched(CURVATURE, WEIGHTS), identity, EXAMPLES, torch.zeros(N), device="cpu", precision="float64", fold=False
    )
    seen.clear()
    average_sharpness(found, 0.5, pairs=3)
    moved = torch.stack(seen)
    assert len(moved) == 7
    assert (moved[:, 2] == 0).all()
    assert (moved[1:, [0, 1, 3, 4]] != WEIGHTS[[0, 1, 3, 4]]).all()


def test_adaptive_measures_do_not_see_a_rescaling_that_leaves_the_function_alone() -> None:
    """Two layers of a ReLU network, one scaled up and the other down: c = |w| moves along, c = 1 does not."""

    def network(scale: float) -> Objective:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).double()
        with torch.no_grad():
            model[0].weight *= scale
            model[0].bias *= scale
            model[2].weight /= scale
        labels = torch.arange(N) % 3
        return Objective(model, "cross_entropy", EXAMPLES, labels, device="cpu", precision="float64")

    for adaptive, same in ((True, True), (False, False)):
        a, b = (average_sharpness(network(s), adaptive=adaptive, pairs=5).value for s in (1.0, 10.0))
        assert (a == pytest.approx(b, rel=1e-9)) is same


def test_draws_repeat_by_seed_and_one_pair_has_no_standard_error() -> None:
    first, again, other = (average_sharpness(quadratic(), pairs=2, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.value != other.value
    assert math.isnan(average_sharpness(quadratic(), pairs=1).stderr)


# ---- λ_max, and all together


def test_lambda_max_with_its_evidence() -> None:
    measure = largest_eigenvalue(quadratic(), tolerance=1e-8)
    assert measure.value == pytest.approx(4, rel=1e-7)
    assert measure.parameters["converged"] is True
    assert "NOT CONVERGED" not in measure.meaning


def test_all_measures_together_with_progress_and_provenance() -> None:
    steps: list[str] = []
    found = sharpness(quadratic(), pairs=3, tolerance=1e-6, seed=4, on_step=steps.append)
    assert [m.name for m in found.measures] == ["keskar", "keskar", "sam", "average", "lambda_max"]
    by_label = {m.label: m for m in found.measures}
    keskar = [by_label[f"Keskar ε-sharpness, ε = {e}"] for e in ("0.001", "0.0005")]
    assert keskar[0].value > keskar[1].value > 0
    assert found.value("SAM sharpness, ρ = 0.05") == sam_sharpness(quadratic(), 0.05).value
    assert (
        found.value("average-case sharpness, adaptive, ρ = 0.1")
        == average_sharpness(quadratic(), 0.1, pairs=3, seed=4).value
    )
    assert found.value("λ_max of the Hessian") == pytest.approx(4)
    for name in ("keskar", "average", "lambda_max", "sam"):
        evaluations = sum(m.evaluations for m in found.measures if m.name == name)
        assert steps.count(name) == evaluations - (name == "average")  # the loss at the centre is no step
    assert found.attributes["seed"] == 4
    assert found.attributes["examples"] == {"train": N}
    assert [m.name for m in sharpness(quadratic(), pairs=1, lambda_max=False).measures][-1] == "average"
