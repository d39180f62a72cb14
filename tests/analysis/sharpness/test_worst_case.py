"""Auto-PGD against a literal reference, and worst-case sharpness against closed forms."""

import math

import numpy as np
import pytest
import torch
from cases import quadratics as make
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import SamSharpness, WorstCaseSharpness
from landscape.seeding import seeded_generator


@pytest.mark.parametrize("adaptive", [True, False])
def test_s_max_is_the_mean_over_subsets_of_the_maximum(adaptive: bool) -> None:
    """In a small box the gradient keeps its signs, so that the maximum of every subset is at a vertex."""
    rho = 1e-3
    measure = WorstCaseSharpness(rho, adaptive=adaptive, m=4, examples=12).measure(make.quadratic(), seed=3)
    order = seeded_generator("subsets", 3).permutation(make.N)[:12]
    c = make.WEIGHTS.abs() if adaptive else torch.ones(5).double()
    maxima = []
    for part in (make.EXAMPLES[order[start : start + 4]] for start in (0, 4, 8)):
        g = make.gradient(x=part)
        maxima.append((rho * (g.abs() @ c) + 0.5 * rho**2 * (make.CURVATURE @ c**2)).item())
    assert measure.value == pytest.approx(np.mean(maxima), rel=1e-6)
    assert measure.stderr == pytest.approx(np.std(maxima, ddof=1) / math.sqrt(3), rel=1e-5)
    np.testing.assert_allclose(measure.diagnostics["samples"], maxima, rtol=1e-6)
    assert measure.parameters["p"] == "inf"
    assert measure.evaluations == 21 + 2


def test_weights_that_are_zero_do_not_move() -> None:
    for restarts in (0, 2):
        spec = WorstCaseSharpness(0.5, 2.0, restarts=restarts)
        found = spec.maximum(make.quadratic(), make.WEIGHTS.abs(), seed=1)
        assert (found.point * make.WEIGHTS.abs())[2] == 0
        assert found.value > make.quadratic().loss()
    still = make.quadratic(torch.zeros(5))
    assert WorstCaseSharpness(restarts=1).measure(still).value == 0


def test_more_restarts_never_lower_it_and_do_not_depend_on_their_number() -> None:
    class Rippled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.linspace(0.5, 2, 6).double())

        def forward(self, x: Tensor) -> Tensor:
            return (torch.sin(40 * self.w) + 0.1 * self.w).sum() * x[:, 0]

    data = torch.ones(2, 1).double()
    rippled = Objective(Rippled(), make.identity, data, torch.zeros(2), device="cpu", precision="float64")
    for p in (2.0, math.inf):
        specs = [WorstCaseSharpness(0.2, p, restarts=n) for n in (0, 1, 3, 6)]
        found = [spec.measure(rippled, seed=5) for spec in specs]
        values = [f.value for f in found]
        assert values == sorted(values)
        assert values[-1] > values[0]
        assert [f.evaluations for f in found] == [21 * (n + 1) + 2 for n in (0, 1, 3, 6)]
        c = rippled.origin["w"].abs()
        starts = [spec.random_start(rippled, c, 5, 0, 1) for spec in specs[1:]]
        assert all(torch.equal(start, starts[0]) for start in starts)
        assert np.linalg.norm(starts[0].numpy(), p) <= 0.2 * (1 + 1e-12)


@pytest.mark.parametrize("p", [2.0, math.inf])
def test_it_is_never_below_the_one_step_rise_by_much_nor_negative(p: float) -> None:
    """One step of SAM ends at a point of the plain ball."""
    for rho in (1e-3, 0.05, 0.5):
        worst = WorstCaseSharpness(rho, p, adaptive=False).measure(make.classifier()).value
        assert worst >= 0.999 * SamSharpness(rho, p).measure(make.classifier()).value > 0
