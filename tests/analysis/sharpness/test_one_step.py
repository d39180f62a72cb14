"""SAM and ASAM sharpness on quadratics in closed form, on all the examples and on subsets."""

import math

import numpy as np
import pytest
import torch
from cases import quadratics as make
from torch import Tensor, nn
from torch.nn import functional as F

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import AsamSharpness, SamSharpness
from landscape.analysis.sharpness.solvers.ascent_step import asam_perturbation, sam_perturbation
from landscape.errors import LandscapeError
from landscape.seeding import seeded_generator


def rises(step: Tensor, x: Tensor = make.EXAMPLES) -> np.ndarray:
    """Return the rise of each example's loss, (N,), after a step."""
    before, after = make.WEIGHTS - x, make.WEIGHTS + step - x
    return (0.5 * make.CURVATURE * (after**2 - before**2)).sum(1).numpy()


@pytest.mark.parametrize("rho", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("p", [1.5, 2.0, math.inf])
def test_sam_on_a_quadratic(rho: float, p: float) -> None:
    measure = SamSharpness(rho, p).measure(make.quadratic(batch_size=5))
    g = make.gradient()
    step = sam_perturbation({"w": g}, rho, p)["w"]
    rise = (g @ step + 0.5 * make.CURVATURE @ step**2).item()
    assert measure.value == pytest.approx(rise, rel=1e-9, abs=1e-12)
    assert measure.stderr == pytest.approx(rises(step).std(ddof=1) / math.sqrt(make.N), rel=1e-8, abs=1e-14)
    assert measure.diagnostics["gradient_norm"] == pytest.approx(g.norm().item(), rel=1e-9)
    assert measure.diagnostics["rounding"] == 0  # it is in float64 itself


def test_the_standard_error_is_that_of_the_paired_difference() -> None:
    measure = SamSharpness(1.0).measure(make.quadratic())
    after = make.WEIGHTS + make.gradient() / make.gradient().norm() - make.EXAMPLES
    unpaired = (0.5 * make.CURVATURE * after**2).sum(1).numpy().std(ddof=1) / math.sqrt(make.N)
    assert abs(measure.stderr / unpaired - 1) > 0.05


@pytest.mark.parametrize(("p", "scope"), [(2.0, "all"), (math.inf, "all"), (2.0, "weights-only")])
def test_asam_on_a_quadratic(p: float, scope: str) -> None:
    measure = AsamSharpness(0.5, p, eta=0.1, scope=scope).measure(make.quadratic())  # type: ignore[arg-type]
    g, w = make.gradient(), make.WEIGHTS
    name = "weight" if scope == "all" else "a"  # the quadratic's parameters are called a and b
    step = asam_perturbation({name: g}, {name: w}, 0.5, p, eta=0.1, scope=scope)[name]  # type: ignore[arg-type]
    assert measure.value == pytest.approx((g @ step + 0.5 * make.CURVATURE @ step**2).item(), rel=1e-9)
    assert measure.parameters["scope"] == scope
    assert "weights only" in measure.label or scope == "all"


def test_a_zero_gradient_is_no_perturbation() -> None:
    flat = make.quadratic(make.WEIGHTS, make.WEIGHTS.expand(4, -1).clone())
    for spec in (SamSharpness(), SamSharpness(p=math.inf, m=2), AsamSharpness()):
        assert spec.measure(flat).value == 0
        assert spec.measure(flat).stderr == 0


def test_sam_of_batch_means_has_no_standard_error() -> None:
    mean = SamSharpness().measure(make.quadratic(loss=lambda o, _: o.mean(), batch_size=5))
    assert mean.value == pytest.approx(SamSharpness().measure(make.quadratic()).value, rel=1e-12)
    assert math.isnan(mean.stderr)
    assert "samples" not in mean.diagnostics


def test_sam_of_a_network_is_two_passes_of_its_own() -> None:
    model = make.relu_network()
    measure = SamSharpness(0.3).measure(make.classifier())
    before = F.cross_entropy(model(make.EXAMPLES), make.LABELS)
    gradient = torch.autograd.grad(before, list(model.parameters()))
    length = math.sqrt(sum(g.square().sum().item() for g in gradient))
    with torch.no_grad():
        for parameter, g in zip(model.parameters(), gradient, strict=True):
            parameter += 0.3 * g / length
    after = F.cross_entropy(model(make.EXAMPLES), make.LABELS)
    assert measure.value == pytest.approx((after - before).item(), rel=1e-9)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("m", [None, 2])
def test_divergence_after_the_step_is_the_value(bad: float, m: int | None) -> None:
    class Wall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.where(self.w > 0.01, bad, self.w + x[:, 0])

    found = Objective(Wall(), make.identity, torch.ones(4, 1), torch.zeros(4), device="cpu", precision="float64")
    measure = SamSharpness(0.05, m=m).measure(found)
    assert measure.value == pytest.approx(bad, nan_ok=True)
    assert math.isnan(measure.stderr)


# ---- subsets


@pytest.mark.parametrize("m", [1, 3, 8])
@pytest.mark.parametrize("p", [2.0, math.inf])
def test_m_sharpness_is_the_mean_over_random_subsets(m: int, p: float) -> None:
    measure = SamSharpness(0.3, p, m).measure(make.quadratic(), seed=7)
    order = seeded_generator("subsets", 7).permutation(make.N)
    parts = [make.EXAMPLES[order[start : start + m]] for start in range(0, make.N // m * m, m)]
    steps = [sam_perturbation({"w": make.gradient(x=part)}, 0.3, p)["w"] for part in parts]
    found = np.array([rises(step, part).mean() for step, part in zip(steps, parts, strict=True)])
    assert measure.value == pytest.approx(found.mean(), rel=1e-9)
    assert measure.stderr == pytest.approx(found.std(ddof=1) / math.sqrt(len(found)), rel=1e-9)
    np.testing.assert_allclose(measure.diagnostics["samples"], found, rtol=1e-8)
    assert measure.parameters == {"rho": 0.3, "p": 2 if p == 2 else "inf", "m": m, "seed": 7}


def test_one_subset_of_all_examples_is_sam_sharpness() -> None:
    whole, *sizes = (SamSharpness(0.3, m=m).measure(make.quadratic()) for m in (None, make.N, 99))
    for measure in sizes:
        assert measure.value == pytest.approx(whole.value, rel=1e-12)
        assert math.isnan(measure.stderr)
        assert "one subset of 16 examples" in measure.meaning


def test_smaller_subsets_are_sharper() -> None:
    """Each subset has its own steepest direction, so m-sharpness grows as m shrinks."""
    values = [AsamSharpness(0.1, m=m).measure(make.quadratic()).value for m in (16, 4, 1)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_ready_batches_are_cut_into_the_same_subsets() -> None:
    ready = [(make.EXAMPLES[i : i + 3], torch.zeros(len(make.EXAMPLES[i : i + 3]))) for i in range(0, make.N, 3)]
    model = make.Quadratic(make.CURVATURE, make.WEIGHTS)
    streamed = Objective(model, make.identity, ready, device="cpu", precision="float64")
    expected = SamSharpness(m=4).measure(make.quadratic(), seed=2)
    assert SamSharpness(m=4).measure(streamed, seed=2).value == pytest.approx(expected.value, rel=1e-12)


def test_batches_of_examples_of_other_shapes_are_refused() -> None:
    class Length(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return self.w * x.sum(1)

    ready = [(torch.ones(2, n), torch.zeros(2)) for n in (3, 4)]
    uneven = Objective(Length(), make.identity, ready, device="cpu")
    assert SamSharpness().measure(uneven).value > 0
    with pytest.raises(LandscapeError, match="differ in shape"):
        SamSharpness(m=2).measure(uneven)


# ---- curves


@pytest.mark.parametrize("m", [None, 4])
def test_a_curve_shares_its_gradients_and_gives_what_single_radii_give(
    m: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, radii = make.quadratic(), [0.01, 0.1, 1.0]
    alone = [SamSharpness(rho, m=m).measure(objective) for rho in radii]
    calls, gradient = [], Objective.gradient
    monkeypatch.setattr(Objective, "gradient", lambda self, *a, **k: calls.append(self) or gradient(self, *a, **k))
    together = list(SamSharpness(m=m).curve(objective, radii))
    assert len(calls) == (1 if m is None else make.N // m)
    assert [(f.label, f.value, f.stderr) for f in together] == [(f.label, f.value, f.stderr) for f in alone]
    assert [f.evaluations for f in together] == [3, 1, 1]
    assert [f.parameters["rho"] for f in together] == radii


@pytest.mark.parametrize("bad", [{"p": 1.0}, {"m": 0}])
def test_what_cannot_be_is_refused_at_once(bad: dict[str, float]) -> None:
    with pytest.raises(LandscapeError):
        SamSharpness(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        (landscape.AsamSharpness, {"eta": -1.0}, "got eta = -1; expected a number of at least 0"),
        (landscape.AsamSharpness, {"scope": "biases"}, "unknown scope 'biases'; expected all or weights-only"),
        (landscape.WorstCaseSharpness, {"restarts": -1}, "got -1 restarts; expected at least 0"),
        (landscape.KeskarSharpness, {"space": "half"}, "unknown space 'half'; expected full or manifold"),
    ],
)
def test_impossible_options_are_refused(measure, options, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        measure(**options)
