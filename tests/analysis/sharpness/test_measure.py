"""The measures together: what they do under a rescaling, their diagnostics, and the order of checkpoints."""

import json
import math

import pytest
import torch
from cases import quadratics as make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.reliability import derivative_warnings
from landscape.analysis.sharpness import (
    AsamSharpness,
    AverageSharpness,
    KeskarSharpness,
    LargestEigenvalue,
    SamSharpness,
    SharpnessMeasure,
    WorstCaseSharpness,
    sharpness,
    usual_measures,
)
from landscape.analysis.sharpness.cost import cost_of, measured_rates
from landscape.analysis.sharpness.diagnostics import Rounding
from landscape.analysis.sharpness.measure import curves
from landscape.errors import LandscapeError


def test_all_measures_together_with_progress_and_provenance() -> None:
    steps: list[str] = []
    found = sharpness(make.quadratic(), usual_measures(pairs=3, tolerance=1e-6), seed=4, on_step=steps.append)
    assert [m.name for m in found.measures] == ["keskar", "keskar", "sam", "asam", "max", "average", "lambda_max"]
    by_label = {m.label: m for m in found.measures}
    keskar = [by_label[f"Keskar ε-sharpness, ε = {e}"] for e in ("0.001", "0.0005")]
    assert keskar[0].value > keskar[1].value > 0
    alone = {
        "SAM sharpness, ρ = 0.05": SamSharpness(),
        "ASAM sharpness, ρ = 0.5": AsamSharpness(),
        "worst-case sharpness, adaptive, p = ∞, ρ = 0.002": WorstCaseSharpness(),
        "average-case sharpness, adaptive, ρ = 0.1": AverageSharpness(pairs=3),
    }
    for label, spec in alone.items():
        assert found.value(label) == spec.measure(make.quadratic(), seed=4).value
    assert found.value("λ_max of the Hessian") == pytest.approx(4)
    for name in ("keskar", "average", "lambda_max", "sam"):
        assert steps.count(name) == sum(m.evaluations for m in found.measures if m.name == name)
    assert found.attributes["seed"] == 4
    assert found.attributes["examples"] == {"train": make.N}
    assert [m.name for m in sharpness(make.quadratic(), usual_measures(pairs=1, lambda_max=False)).measures][
        -1
    ] == "average"


def test_several_radii_make_curves_of_measures_that_differ_in_rho_alone() -> None:
    radii = [0.01, 0.02, 0.05, 0.1, 0.2]
    measures = usual_measures(epsilons=(), rho=radii, average_rho=radii, pairs=1, lambda_max=False)
    found = sharpness(make.quadratic(), measures)
    for name in ("sam", "average"):
        curve = [m for m in found.measures if m.name == name]
        assert [m.parameters["rho"] for m in curve] == radii
        assert len({json.dumps({**m.parameters, "rho": 0}) for m in curve}) == 1
        assert [m.value for m in curve] == sorted(m.value for m in curve)
    assert len({m.label for m in found.measures}) == len(found.measures)


def test_measures_of_ones_choice_come_one_by_one_and_are_json() -> None:
    chosen: list[SharpnessMeasure] = [
        SamSharpness(0.1, 3.0, 4),
        KeskarSharpness(space="manifold", restarts=0, columns=3),
        SamSharpness(0.2, 3.0, 4),
        AsamSharpness(scope="weights-only", eta=0.1),
        WorstCaseSharpness(0.1, 2.0, adaptive=False, m=4, restarts=1),
    ]
    kept = []
    found = sharpness(make.quadratic(), chosen, on_measure=kept.append)
    assert [m.label for m in found.measures] == [
        "SAM sharpness, p = 3, m = 4, ρ = 0.1",
        "SAM sharpness, p = 3, m = 4, ρ = 0.2",
        "Keskar ε-sharpness, random manifold, ε = 0.001",
        "ASAM sharpness, η = 0.1, weights only, ρ = 0.5",
        "worst-case sharpness, p = 2, m = 4, ρ = 0.1",
    ]
    assert kept == list(found.measures)
    stored = json.loads(json.dumps([dict(m.parameters) for m in found.measures], allow_nan=False))
    assert stored == [dict(m.parameters) for m in found.measures]
    assert [len(curve) for curve in curves(chosen)] == [2, 1, 1, 1]


def test_two_measures_of_one_name_are_refused() -> None:
    with pytest.raises(LandscapeError, match="2 measures are called 'Keskar"):
        sharpness(make.quadratic(), [KeskarSharpness(restarts=0), KeskarSharpness(restarts=3)])


def test_lambda_max_with_its_diagnostics() -> None:
    measure = LargestEigenvalue(1e-8).measure(make.quadratic())
    assert measure.value == pytest.approx(4, rel=1e-7)
    assert measure.diagnostics["converged"] is True
    assert "NOT CONVERGED" not in measure.meaning


# ---- rescaling

ADAPTIVE: list[SharpnessMeasure] = [
    AsamSharpness(0.1, eta=0.0),
    AsamSharpness(0.01, math.inf, eta=0.0),
    AsamSharpness(0.1, 3.0, m=4, eta=0.0),
    WorstCaseSharpness(0.02, m=4),
    WorstCaseSharpness(0.2, 2.0, m=8, restarts=1),
    WorstCaseSharpness(0.02, m=4, logits="normalized"),
    AverageSharpness(pairs=3),
]
PLAIN: list[SharpnessMeasure] = [
    SamSharpness(),
    SamSharpness(0.001, math.inf),
    SamSharpness(m=4),
    WorstCaseSharpness(0.02, m=4, adaptive=False),
    WorstCaseSharpness(0.2, 2.0, m=8, adaptive=False),
    AverageSharpness(adaptive=False, pairs=3),
    LargestEigenvalue(),
]


@pytest.mark.parametrize("spec", [*ADAPTIVE, *PLAIN], ids=lambda spec: spec.label)
def test_only_adaptive_measures_do_not_see_a_rescaling_that_leaves_the_function_alone(spec: SharpnessMeasure) -> None:
    """Dinh et al. 2017 (arXiv:1703.04933): two layers of a ReLU network, one scaled up and the other down."""
    scales = (0.1, 1.0, 10.0)
    losses = [make.classifier(scale).loss() for scale in scales]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)
    values = [spec.measure(make.classifier(scale)).value for scale in scales]
    same = values == pytest.approx([values[1]] * 3, rel=1e-6)
    assert same is (spec in ADAPTIVE), values
    if spec in PLAIN:
        assert max(values) > 1.5 * min(values)


def test_eta_and_keskar_s_constant_see_it_too_and_a_small_eta_only_slightly() -> None:
    """η = 0.01 is small beside most weights, the 1 of Keskar's |x_i| + 1 is not."""

    def change(spec: SharpnessMeasure, scale: float) -> float:
        one, other = (spec.measure(make.classifier(at)).value for at in (1.0, scale))
        return abs(other / one - 1)

    with_eta = change(AsamSharpness(0.1), 2.0)
    assert 1e-4 < with_eta < 0.05
    assert change(AsamSharpness(0.1, eta=1.0), 2.0) > 2 * with_eta
    for space in ("full", "manifold"):
        assert change(KeskarSharpness(space=space, restarts=0), 10.0) > 0.5  # type: ignore[arg-type]


# ---- rounding


def test_differences_in_float32_are_checked_against_float64() -> None:
    single, double = make.classifier(precision="float32"), make.classifier()
    names = ("sam", "asam", "keskar", "max", "average")
    for spec in (spec for spec in usual_measures(epsilons=(1e-3,), pairs=2) if spec.name in names):
        found, exact = spec.measure(single), spec.measure(double)
        assert exact.diagnostics["rounding"] == 0
        assert 0 < found.diagnostics["rounding"] < 1e-4 * max(abs(found.value), 0.01)
        assert found.value == pytest.approx(exact.value, rel=1e-2)
    step = {name: 0.1 * w for name, w in single.origin.items()}
    exactly = make.classifier().loss({n: 1.1 * w.double() for n, w in single.origin.items()}) - double.loss()
    rounded = single.loss({n: 1.1 * w for n, w in single.origin.items()}) - single.loss()
    assert Rounding(single).error(step) == pytest.approx(abs(rounded - exactly), abs=2e-7)


@pytest.mark.parametrize("mode", ["fixed", "recalibrated"])
def test_the_check_is_of_the_folded_network_and_of_its_statistics(mode: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3))
    images = torch.randn(8, 1, 4, 4)
    found = Objective(model, "cross_entropy", images, torch.arange(8) % 3, device="cpu", batchnorm=mode)  # type: ignore[arg-type]
    assert found.is_folded
    assert 0 <= SamSharpness(0.5).measure(found).diagnostics["rounding"] < 1e-5


def test_bfloat16_weights_would_show() -> None:
    """A rounding that is there is seen: weights rounded to 8 bits stand for a pass in low precision."""

    class Low(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.weight.dtype == torch.float32:
                return nn.functional.linear(x, self.weight.bfloat16().float(), self.bias)
            return super().forward(x)

    torch.manual_seed(0)
    found = Objective(Low(5, 3), "cross_entropy", make.EXAMPLES.float(), make.LABELS, device="cpu")
    measure = AverageSharpness(1e-3, pairs=2).measure(found)
    assert measure.diagnostics["rounding"] > 0.1 * abs(measure.value)


# ---- batches


@given(batch=st.integers(1, 20), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_neither_the_batch_size_nor_the_order_of_the_examples_matters(batch: int, seed: int) -> None:
    """A short last batch weighs as much as its examples, and no more."""
    order = torch.randperm(make.N, generator=torch.Generator().manual_seed(seed))
    other = Objective(
        make.relu_network(),
        "cross_entropy",
        make.EXAMPLES[order],
        make.LABELS[order],
        device="cpu",
        precision="float64",
        batch_size=batch,
    )
    for spec in (SamSharpness(0.3), AsamSharpness(p=math.inf, rho=0.1), AverageSharpness(pairs=1)):
        expected, found = (spec.measure(objective) for objective in (make.classifier(), other))
        assert found.value == pytest.approx(expected.value, rel=1e-9)
        assert found.stderr == pytest.approx(expected.stderr, rel=1e-9, nan_ok=True)


# ---- an estimate of the time


def test_what_measures_cost() -> None:
    """Counted against the calls that are made, in examples."""
    calls = {"gradients": 0, "forwards": 0}
    gradient, per_example, sums = Objective.gradient, Objective.per_example, Objective.sums

    def counted(what: str, run: object) -> object:
        def call(self: Objective, *a: object, **k: object) -> object:
            calls[what] += self.data["train"].examples
            return run(self, *a, **k)  # type: ignore[operator]

        return call

    specs = [
        SamSharpness(0.1),
        SamSharpness(0.2),
        AsamSharpness(m=5),
        WorstCaseSharpness(m=4, examples=8, restarts=1),
        AverageSharpness(pairs=2),
        AverageSharpness(0.2, pairs=2),
    ]
    cost = cost_of(specs, make.N)
    objective = make.quadratic()
    derivative_warnings(objective, second=False)  # a few examples, once, whatever is measured
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "gradient", counted("gradients", gradient))
        patch.setattr(Objective, "per_example", counted("forwards", per_example))
        patch.setattr(Objective, "sums", counted("forwards", sums))
        sharpness(objective, specs)
    assert calls["gradients"] == pytest.approx(cost.gradients, abs=1)  # m = 5 leaves one example over
    assert calls["forwards"] == pytest.approx(cost.forwards, abs=2)
    rates = measured_rates(make.quadratic())
    assert rates.seconds(cost) == pytest.approx(cost.forwards / rates.forwards + cost.gradients / rates.gradients)
    assert cost_of([LargestEigenvalue(), KeskarSharpness()], 10).products > 0
