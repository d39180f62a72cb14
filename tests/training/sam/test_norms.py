"""The norms of SAM's ball, and ASAM's scaling of it, against the papers' formulas written out slowly in float64."""

import math

import pytest
import torch
from cases import sam_problem as problem
from torch import nn

from landscape.errors import LandscapeError
from landscape.training.sam import SAM


@pytest.mark.parametrize("p", [1.05, 1.5, 2.0, 3.0, 10.0, math.inf])
def test_p_norms_are_equation_2(p):
    model = problem.make_network()
    optimizer = SAM(model.parameters(), problem.SGD, rho=0.1, p=p)
    problem.assert_follows(
        model,
        optimizer,
        problem.micro_batches(4, 1),
        lambda w, b, _: problem.gradient(w + problem.perturbation(problem.gradient(w, *b), 0.1, p), *b),
    )


@pytest.mark.parametrize("p", [1.05, 1.5, 3.0, math.inf])
def test_the_perturbation_lies_on_the_sphere_and_ascends_best(p):
    """‖ε̂‖_p = ρ, and gᵀε̂ = ρ ‖g‖_q (Hölder's bound): nothing else in the ball ascends more, even at a tiny gradient."""
    weight = nn.Parameter(torch.zeros(5))
    g = torch.tensor([3e-9, -1e-9, 2e-9, 0.0, -5e-9])
    seen = []

    def closure():
        seen.append(weight.detach().clone())
        weight.grad = g.clone()
        return 0.0

    SAM([weight], problem.SGD, rho=0.7, p=p).step(closure)
    q = 1.0 if p == math.inf else p / (p - 1)
    moved = (seen[1] - seen[0]).double()
    assert torch.linalg.vector_norm(moved, p).item() == pytest.approx(0.7, rel=1e-5)
    best = 0.7 * torch.linalg.vector_norm(g.double() / 1e-9, q).item()
    assert torch.dot(g.double() / 1e-9, moved).item() == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("p", [1.5, 2.0, math.inf])
@pytest.mark.parametrize("scope", ["all", "weights-only"])
@pytest.mark.parametrize("named", [False, True])
def test_asam(p, scope, named):
    """T = |w| + η; "weights-only" leaves T = 1 for biases. p = 2: ρ T² g / ‖T g‖; p = ∞: ρ T sign(g)."""
    model = problem.make_network()
    params = model.named_parameters() if named else model.parameters()
    optimizer = SAM(params, problem.SGD, rho=0.2, p=p, adaptive=scope, eta=0.05, model=None if named else model)
    is_weight = torch.cat([torch.full_like(q, q.dim() > 1).flatten() for q in model.parameters()]).bool()

    def update(w, b, _):
        g, t = problem.gradient(w, *b), w.abs() + 0.05
        t = t if scope == "all" else torch.where(is_weight, t, 1.0)
        epsilon = problem.perturbation(g, 0.2, p, t)
        if p == 2:
            torch.testing.assert_close(epsilon, 0.2 * t**2 * g / (t * g).norm(), rtol=1e-12, atol=0)
        if p == math.inf:
            torch.testing.assert_close(epsilon, 0.2 * t * g.sign(), rtol=1e-12, atol=0)
        return problem.gradient(w + epsilon, *b)

    problem.assert_follows(model, optimizer, problem.micro_batches(3, 1), update)


def test_batchnorm_gamma_is_a_weight_and_its_beta_is_not():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = SAM(model.parameters(), problem.SGD, adaptive="weights-only", model=model)
    scaled = [name for name, p in model.named_parameters() if p in optimizer._adaptive]
    assert scaled == ["0.weight", "1.weight"]


def test_weights_only_needs_names():
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(LandscapeError, match="named_parameters"):
        SAM([weight], problem.SGD, adaptive="weights-only")
    model = nn.Linear(2, 2)
    optimizer = SAM([model.weight], problem.SGD, adaptive="weights-only", model=model)
    optimizer.add_param_group({"params": model.bias})
    with pytest.raises(LandscapeError, match="named_parameters"):
        optimizer.add_param_group({"params": [weight]})
    assert optimizer._adaptive == {model.weight}
    assert len(optimizer.base.param_groups) == 2
    named = SAM([("a.weight", weight)], problem.SGD, adaptive="weights-only")
    named.add_param_group({"params": [("a.bias", nn.Parameter(torch.ones(2)))]})
    assert named._adaptive == {weight}


def test_rho_of_each_group_scales_one_perturbation():
    model = problem.make_network()
    groups = [{"params": model[0].parameters(), "rho": 0.3}, {"params": model[2].parameters()}]
    optimizer = SAM(groups, problem.SGD, rho=0.05, p=3.0)
    rho = torch.tensor([0.3] * 15 + [0.05] * 8, dtype=torch.float64)
    problem.assert_follows(
        model,
        optimizer,
        problem.micro_batches(3, 1),
        lambda w, b, _: problem.gradient(w + rho * problem.perturbation(problem.gradient(w, *b), 1, 3.0), *b),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.0}, "p must be above 1"),
        ({"p": math.nan}, "p must be above 1"),
        ({"eta": -0.1}, "eta must be"),
        ({"every": 0}, "every must be"),
        ({"every": 1.5}, "every must be"),
        ({"gsam_alpha": math.nan}, "gsam_alpha must be"),
        ({"looksam_alpha": -1.0}, "looksam_alpha must be"),
        ({"every": 2, "gsam_alpha": 0.1}, "take one"),
        ({"adaptive": "weights"}, "known: none, all, weights-only"),
        ({"ascent": "mine"}, "known: local, process, global"),
        ({"max_norm": 0.0}, "max_norm must be"),
    ],
    ids=str,
)
def test_refusals(options, message):
    with pytest.raises(LandscapeError, match=message):
        SAM([nn.Parameter(torch.ones(1))], problem.SGD, **options)
