"""Average-case sharpness on quadratics in closed form."""

import math

import numpy as np
import pytest
import torch
from cases import quadratics as make
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes.normalization import raw_direction
from landscape.analysis.sharpness import AverageSharpness


@pytest.mark.parametrize("adaptive", [True, False])
def test_average_case_on_a_quadratic(adaptive: bool) -> None:
    rho, pairs = 0.3, 300
    measure = AverageSharpness(rho, adaptive, pairs).measure(make.quadratic(), seed=2)
    c = make.WEIGHTS.abs().numpy() if adaptive else np.ones(5)
    lam = make.CURVATURE.numpy()
    expected = 0.5 * rho**2 * (lam @ c**2)
    sigma = math.sqrt(0.5 * rho**4 * ((lam * c**2) ** 2).sum())  # of ½ρ² Σ λ c² ε²
    assert abs(measure.value - expected) < 4 * sigma / math.sqrt(pairs)
    assert measure.stderr == pytest.approx(sigma / math.sqrt(pairs), rel=0.2)
    assert measure.evaluations == 1 + 2 * pairs


def test_odd_terms_cancel_in_every_pair() -> None:
    """Gradient and third derivative drop out of each pair, to rounding: only ½ δᵀ(∂²L)δ is left."""
    cubic, rho, pairs = 5.0, 0.1, 4
    measure = AverageSharpness(rho, pairs=pairs).measure(make.quadratic(cubic=cubic), seed=1)
    shapes = {"a": torch.Size([2]), "b": torch.Size([1, 3])}
    rises = []
    curvature = make.CURVATURE + 6 * cubic * (make.WEIGHTS - make.EXAMPLES).mean(0)
    for pair in range(pairs):
        noise = torch.cat([d.flatten() for d in raw_direction(shapes, 1, pair).values()]).double()
        rises.append((0.5 * curvature @ (rho * make.WEIGHTS.abs() * noise) ** 2).item())
    assert measure.value == pytest.approx(np.mean(rises), rel=1e-9)
    assert measure.stderr == pytest.approx(np.std(rises, ddof=1) / math.sqrt(pairs), rel=1e-8)
    np.testing.assert_allclose(measure.diagnostics["samples"], rises, rtol=1e-8)


def test_weights_that_are_zero_do_not_move() -> None:
    seen: list[Tensor] = []

    class Watched(make.Quadratic):  # type: ignore[misc, name-defined]
        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch.cat([self.a, self.b.flatten()]).detach().clone())
            return super().forward(x)

    model = Watched(make.CURVATURE, make.WEIGHTS)
    found = Objective(
        model, make.identity, make.EXAMPLES, torch.zeros(make.N), device="cpu", precision="float64", fold=False
    )
    seen.clear()
    AverageSharpness(0.5, pairs=3).measure(found)
    moved = torch.stack(seen)
    assert len(moved) == 7
    assert (moved[:, 2] == 0).all()
    assert (moved[1:, [0, 1, 3, 4]] != make.WEIGHTS[[0, 1, 3, 4]]).all()


def test_draws_repeat_by_seed_and_one_pair_has_no_standard_error() -> None:
    first, again, other = (AverageSharpness(pairs=2).measure(make.quadratic(), seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.value != other.value
    assert math.isnan(AverageSharpness(pairs=1).measure(make.quadratic()).stderr)


def test_a_curve_shares_its_draws_and_gives_what_single_radii_give() -> None:
    radii = [0.01, 0.1, 1.0]
    together = list(AverageSharpness(pairs=3).curve(make.classifier(), radii, seed=4))
    for rho, found in zip(radii, together, strict=True):
        alone = AverageSharpness(rho, pairs=3).measure(make.classifier(), seed=4)
        assert (found.label, found.value, found.parameters) == (alone.label, alone.value, alone.parameters)
    assert [found.evaluations for found in together] == [7, 6, 6]


def test_normalized_logits_take_the_scale_of_the_last_layer_out() -> None:
    """Scaling the last layer scales all logits: relative perturbations then change normalized losses alike."""

    def scaled(factor: float, logits: str) -> float:
        model = make.relu_network()
        with torch.no_grad():
            model[2].weight *= factor
            model[2].bias *= factor
        found = Objective(model, "cross_entropy", make.EXAMPLES, make.LABELS, device="cpu", precision="float64")
        return AverageSharpness(logits=logits, pairs=3).measure(found).value  # type: ignore[arg-type]

    assert scaled(10, "normalized") == pytest.approx(scaled(1, "normalized"), rel=1e-9)
    assert scaled(10, "raw") != pytest.approx(scaled(1, "raw"), rel=0.1)
