"""Friendly SAM against Algorithm 1 of Li et al. 2024 written out slowly in float64."""

import copy

import pytest
import torch
from cases import sam_problem as problem
from torch import nn

from landscape.errors import LandscapeError
from landscape.training.sam import SAM, FriendlySAM

RHO = 0.2


@pytest.mark.parametrize(("sigma", "decay"), [(1.0, 0.9), (0.5, 0.6), (1.0, 0.0), (0.0, 0.9)])
@pytest.mark.parametrize("ascent", ["local", "global"])
def test_friendly_sam(sigma, decay, ascent):
    """m ← λ m + (1 − λ) g; d = g − σ m; the step takes the gradient at w + ρ d / ‖d‖."""
    model = problem.make_network()
    optimizer = FriendlySAM(model.parameters(), problem.SGD, rho=RHO, sigma=sigma, decay=decay, ascent=ascent)
    memory = {"m": torch.zeros_like(problem.vector(model))}

    def friendly(w, *batches):
        g = problem.gradient(w, *batches)
        memory["m"] = decay * memory["m"] + (1 - decay) * g
        d = g - sigma * memory["m"]
        length = float(torch.sqrt((d * d).sum()))
        return problem.gradient(w + RHO * d / length if length > 0 else w, *batches)

    def update(w, batches, _):
        return friendly(w, *batches) if ascent == "global" else sum(friendly(w, b) for b in batches) / len(batches)

    problem.assert_follows(model, optimizer, problem.micro_batches(steps=5, count=2), update)


def test_sigma_zero_is_sam_bit_for_bit():
    first, second = problem.make_network(), problem.make_network()
    friendly = FriendlySAM(first.parameters(), problem.SGD, rho=RHO, sigma=0.0)
    sam = SAM(second.parameters(), problem.SGD, rho=RHO)
    for batch in problem.make_batches(4):
        friendly.step(problem.make_closure(first, friendly, batch))
        sam.step(problem.make_closure(second, sam, batch))
    assert torch.equal(problem.vector(first), problem.vector(second))


def test_it_continues_bit_for_bit_from_its_state():
    batches = problem.make_batches(6)
    model = problem.make_network()
    optimizer = FriendlySAM(model.parameters(), problem.SGD, rho=RHO, every=2)
    for number, batch in enumerate(batches):
        if number == 3:
            state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
        optimizer.step(problem.make_closure(model, optimizer, batch))
    resumed = problem.make_network()
    resumed.load_state_dict(weights)
    again = FriendlySAM(resumed.parameters(), problem.SGD, rho=RHO, every=2)
    again.load_state_dict(state)
    for batch in batches[3:]:
        again.step(problem.make_closure(resumed, again, batch))
    assert torch.equal(problem.vector(model), problem.vector(resumed))


def test_half_precision_averages_in_float32():
    weight = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = FriendlySAM([weight], problem.SGD, rho=RHO)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    (mean,) = optimizer.state_dict()["perturbation"]["means"].values()
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.full((4,), 0.2))


@pytest.mark.parametrize(("options", "message"), [({"sigma": 2.0}, "sigma must be"), ({"decay": 1.0}, "decay must be")])
def test_invalid_values_are_refused(options, message):
    with pytest.raises(LandscapeError, match=message):
        FriendlySAM([nn.Parameter(torch.ones(1))], problem.SGD, **options)


def test_a_gradient_scaler_and_sparse_gradients_are_refused():
    model = problem.make_network()
    optimizer = FriendlySAM(model.parameters(), problem.SGD)
    closure = problem.make_closure(model, optimizer, problem.make_batches(1)[0])
    with pytest.raises(LandscapeError, match="train in bfloat16"):
        optimizer.step(closure, scaler=torch.amp.GradScaler("cpu"))
    table = nn.Embedding(3, 2, sparse=True)
    sparse = FriendlySAM(table.parameters(), problem.SGD)

    def rows():
        sparse.zero_grad()
        loss = table(torch.tensor([0, 2])).square().sum()
        loss.backward()
        return loss

    with pytest.raises(LandscapeError, match="sparse=False"):
        sparse.step(rows)
