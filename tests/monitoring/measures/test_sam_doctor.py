"""The SAM doctor against closed forms, a hallucinated minimizer that SAM converges to, and a healthy run."""

import functools
import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.monitoring.measures.sam_doctor import Ascent, SamDoctor
from landscape.monitoring.monitor import Monitor, MonitorWarning
from landscape.training.sam import SAM, RandomPerturbation

NAMES = ("sam_gradient_ratio", "sam_gradient_cosine", "sam_rise_ratio")


class Point(nn.Module):
    """A point of the plane; its loss is a function of it."""

    def __init__(self, *values):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))


def objective_of(model, function):
    loss = landscape.ModelLoss(lambda network, batch: function(network.w) + 0 * batch.sum())
    return Objective(model, loss, torch.zeros(2, 1, dtype=torch.float64), precision="float64", device="cpu")


def probe(model, optimizer, function, **options):
    monitor = Monitor(objective_of(model, function), every=1, measures=[SamDoctor(**options)])
    return monitor.step(1, model, optimizer), monitor.result.attributes.get("warnings", [])


def sgd_sam(model, **options):
    return SAM(model.parameters(), functools.partial(torch.optim.SGD, lr=0.05), **options)


def test_the_numbers_of_a_quadratic_have_a_closed_form():
    curvature, rho = torch.tensor([4.0, 0.5], dtype=torch.float64), 0.3
    model = Point(0.7, -0.4)
    readings, said = probe(model, sgd_sam(model, rho=rho), lambda w: 0.5 * (curvature * w * w).sum())
    g = curvature * model.w.detach()
    step = rho * g / g.norm()
    other = g + curvature * step
    rise = float(0.5 * (curvature * ((model.w.detach() + step) ** 2 - model.w.detach() ** 2)).sum())
    assert readings["sam_gradient_ratio"] == pytest.approx(float(other.norm() / g.norm()))
    assert readings["sam_gradient_cosine"] == pytest.approx(float(g @ other / (g.norm() * other.norm())))
    assert readings["sam_rise_ratio"] == pytest.approx(rise / (rho * float(g.norm())))
    assert "sam_batchnorm_drift" not in readings
    assert said == []


@pytest.mark.parametrize("options", [{"adaptive": "all", "eta": 0.1}, {"p": math.inf}, {"adaptive": "weights-only"}])
def test_the_perturbation_is_that_of_the_optimizer(options):
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    objective = Objective(model, "mse", x, y, precision="float64", device="cpu")
    optimizer = SAM(model.named_parameters(), functools.partial(torch.optim.SGD, lr=0.0), rho=0.1, **options)
    gradients = []

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten().clone() for p in model.parameters()]))
        return loss

    optimizer.step(closure)
    readings = Monitor(objective, every=1, measures=[SamDoctor()]).step(1, model, optimizer)
    plain, perturbed = gradients
    assert readings["sam_gradient_ratio"] == pytest.approx(float(perturbed.norm() / plain.norm()), rel=1e-9)
    assert readings["sam_gradient_cosine"] == pytest.approx(
        float(F.cosine_similarity(plain, perturbed, dim=0)), rel=1e-9
    )


def test_a_radius_that_is_too_large_is_named_once():
    model = Point(1.0)
    optimizer = sgd_sam(model, rho=5.6)  # on ½ w² the ratio is 1 + ρ / 2|w|
    monitor = Monitor(objective_of(model, lambda w: 0.5 * (w * w).sum()), every=1, measures=["sam_doctor"])
    with pytest.warns(MonitorWarning, match="rho is about four times too large"):
        readings = monitor.step(1, model, optimizer)
    assert readings["sam_rise_ratio"] == pytest.approx(3.8)
    monitor.step(2, model, optimizer)
    said = "step 1: rho is about four times too large: the rise of the loss is 3.8 of its first-order value; "
    assert monitor.result.attributes["warnings"] == [said + "take rho divided by 4, or less"]


def test_a_minimizer_of_the_sam_objective_that_is_no_minimum_is_recognized():
    """f(w) = w + ½ sin 4w has a minimum at w* = π/3; from w* − ρ, where f′ = 1 + 2 cos 4w is 2.7, SAM lands in it."""
    rho, minimum = 0.9, math.pi / 3
    model = Point(minimum - rho + 0.05)
    optimizer = sgd_sam(model, rho=rho)

    def function(w):
        return (w + 0.5 * torch.sin(4 * w)).sum()

    def closure():
        optimizer.zero_grad()
        loss = function(model.w)
        loss.backward()
        return loss

    for _ in range(200):
        optimizer.step(closure)
    assert model.w.item() == pytest.approx(minimum - rho, abs=1e-6)  # SAM has converged
    slope = 1 + 2 * math.cos(4 * model.w.item())
    assert slope > 2.5
    with pytest.warns(MonitorWarning):
        readings, said = probe(model, optimizer, function)
    assert readings["sam_gradient_ratio"] == pytest.approx(0, abs=1e-5)
    assert len(said) == 1
    assert "SAM has stopped, or nearly, at a point that is no minimum of the loss" in said[0]
    assert "whose norm is 2.7" in said[0]
    at_minimum = Point(minimum - 1e-3)
    readings, said = probe(at_minimum, sgd_sam(at_minimum, rho=1e-3), function)
    assert said == []


def test_a_perturbed_gradient_against_the_plain_one_is_named():
    model = Point(-1.0)  # on cos w the step passes the maximum at 0
    with pytest.warns(MonitorWarning):
        readings, said = probe(model, sgd_sam(model, rho=1.5), lambda w: torch.cos(w).sum())
    assert readings["sam_gradient_cosine"] == pytest.approx(-1)
    assert said == [
        "step 1: SAM's steps raise the loss: the perturbed gradient points against the plain one (cosine -1.00)"
    ]


class Normalized(nn.Module):
    """Images through BatchNorm, a nonlinearity and a linear layer."""

    def __init__(self):
        super().__init__()
        first, second = (nn.Sequential(nn.Linear(n, 16), nn.BatchNorm1d(16), nn.Tanh()) for n in (8, 16))
        self.layers = nn.Sequential(first, second, nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


def problem():
    torch.manual_seed(0)
    model, x = Normalized(), torch.randn(512, 8)
    return model, x, (x @ torch.randn(8, 3)).argmax(1)


def test_the_drift_of_batchnorm_is_that_of_its_batch_means():
    model, x, y = problem()
    objective = Objective(model, "cross_entropy", x, y, device="cpu", calibration=x, batch_size=512)
    rho = 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MonitorWarning)
        monitor = Monitor(objective, every=1, measures=[SamDoctor(batch_size=512)])
        readings = monitor.step(1, model, sgd_sam(model, rho=rho))
    _, gradient = objective.gradient()
    norm = torch.sqrt(sum(g.square().sum() for g in gradient.values()))

    def statistics():
        found = []
        layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].double())) for layer in layers
        ]
        model.train()(x)
        for hook in hooks:
            hook.remove()
        return found

    with torch.no_grad():
        before = statistics()
        for name, p in model.named_parameters():
            p += rho * gradient[name] / norm
        after = statistics()
    shifts = torch.cat([(b.mean(0) - a.mean(0)) ** 2 / a.var(0) for a, b in zip(before, after, strict=True)])
    assert readings["sam_batchnorm_drift"] == pytest.approx(math.sqrt(float(shifts.mean())), rel=1e-3)
    drifted = readings["sam_batchnorm_drift"] > 0.5
    assert any("BatchNorm's means move by" in text for text in monitor.result.attributes.get("warnings", [])) == drifted


def test_a_healthy_run_gives_no_sentence():
    model, x, y = problem()
    optimizer = SAM(model.parameters(), functools.partial(torch.optim.Adam, lr=1e-2), rho=0.05, model=model)
    monitor = Monitor(Objective(model, "cross_entropy", x, y, device="cpu"), every=16, measures=["sam_doctor"])
    step = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", MonitorWarning)
        for _ in range(12):
            for rows in torch.randperm(512).split(128):

                def closure(rows=rows):
                    optimizer.zero_grad()
                    loss = F.cross_entropy(model(x[rows]), y[rows])
                    loss.backward()
                    return loss

                optimizer.step(closure)
                step += 1
                monitor.step(step, model, optimizer)
    assert "warnings" not in monitor.result.attributes
    assert len(monitor.result.position) == 3
    for name in (*NAMES, "sam_batchnorm_drift"):
        assert all(math.isfinite(value) for value in monitor.result.series(name))


def test_it_reads_nothing_of_an_optimizer_without_a_radius_unless_one_is_given():
    model = Point(1.0)
    other = RandomPerturbation(model.parameters(), functools.partial(torch.optim.SGD, lr=0.1))
    assert Ascent.of(other) is None
    assert Ascent.of(torch.optim.Adadelta(model.parameters())) is None
    over = SAM(model.parameters(), torch.optim.Adadelta, rho=0.3)
    assert Ascent.of(over) == Ascent(0.3)
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    readings, said = probe(model, plain, lambda w: (w * w).sum())
    assert (set(readings), said) == ({"learning_rate", "edge"}, [])
    readings, _ = probe(model, plain, lambda w: 0.5 * (w * w).sum(), rho=0.1)
    assert readings["sam_rise_ratio"] == pytest.approx(1.05)
    group = {"params": [model.w], "rho": 0.2, "adaptive": True}  # as other implementations keep it
    assert Ascent.of(torch.optim.SGD([group], lr=0.1)) == Ascent(0.2, 2.0, "all", 0.0)
