"""LookSAM and GSAM, which decompose SAM's gradient, against their algorithms written out slowly in float64."""

import math

import pytest
import torch
from cases import sam_problem as problem
from torch import nn

from landscape.training.sam import SAM


def orthogonal(a, b):
    """The part of a orthogonal to b."""
    return a - (a @ b) / (b @ b) * b


@pytest.mark.parametrize("ascent", ["local", "global"])
@pytest.mark.parametrize("adaptive", ["none", "all"])
def test_looksam(ascent, adaptive):
    """Algorithm 1 of Liu et al.: at t mod k = 0 SAM's gradient, and g_v kept; else g + α ‖g‖ / ‖g_v‖ g_v."""
    model = problem.make_network()
    optimizer = SAM(
        model.parameters(), problem.SGD, rho=0.2, every=3, looksam_alpha=0.4, ascent=ascent, adaptive=adaptive, eta=0.1
    )
    memory, passes = {}, []
    model.register_forward_hook(lambda *_: passes.append(1))

    def displaced(w, *b):
        t = w.abs() + 0.1 if adaptive == "all" else 1.0
        return problem.gradient(w + problem.perturbation(problem.gradient(w, *b), 0.2, 2.0, t), *b)

    def update(w, b, step):
        g = problem.gradient(w, *b)
        if step % 3:
            return g + 0.4 * g.norm() / memory["g_v"].norm() * memory["g_v"]
        g_s = displaced(w, *b) if ascent == "global" else sum(displaced(w, x) for x in b) / len(b)
        memory["g_v"] = orthogonal(g_s, g)
        return g_s

    problem.assert_follows(model, optimizer, problem.micro_batches(steps=7, count=2), update)
    assert len(passes) == 2 * (3 * 2 + 4)


@pytest.mark.parametrize("ascent", ["local", "global"])
def test_gsam(ascent):
    """Algorithm 1 of Zhuang et al.: along g_s − α g_⊥, with g_⊥ the part of g orthogonal to g_s."""
    model = problem.make_network()
    optimizer = SAM(model.parameters(), problem.SGD, rho=0.2, gsam_alpha=0.4, ascent=ascent)

    def update(w, b, _):
        each = [problem.sharp_gradient(w, 0.2, x) for x in b]
        g_s = problem.sharp_gradient(w, 0.2, *b) if ascent == "global" else sum(each) / len(b)
        return g_s - 0.4 * orthogonal(problem.gradient(w, *b), g_s)

    problem.assert_follows(model, optimizer, problem.micro_batches(count=2), update)


@pytest.mark.parametrize("options", [{"every": 3}, {"gsam_alpha": 0.4}, {"p": 3.0}, {"adaptive": "all"}], ids=str)
def test_rho_zero_equals_the_base_bit_for_bit_in_every_variant(options):
    model, plain = problem.make_network(), problem.make_network()
    optimizer, sgd = SAM(model.parameters(), problem.SGD, rho=0.0, **options), problem.SGD(plain.parameters())
    for batch in problem.make_batches(5):
        optimizer.step(problem.make_closure(model, optimizer, batch))
        sgd.step(problem.make_closure(plain, sgd, batch))
        assert torch.equal(problem.vector(model), problem.vector(plain))


@pytest.mark.parametrize("options", [{"every": 2}, {"gsam_alpha": 0.4}, {"p": 3.0}, {"p": math.inf}], ids=str)
def test_a_zero_gradient_gives_no_nan(options):
    weight = nn.Parameter(torch.ones(3))
    optimizer = SAM([weight], problem.SGD, rho=0.5, **options)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * ((weight - 1) ** 2).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        assert torch.equal(weight.detach(), torch.ones(3))


def test_looksam_continues_bit_for_bit_from_its_state():
    batches = problem.make_batches(8)
    whole, stopped = problem.make_network(), problem.make_network()
    optimizer = SAM(whole.parameters(), problem.SGD, rho=0.2, every=3)
    for number, batch in enumerate(batches):
        if number == 5:  # in the middle of a period: what it keeps is needed
            state = optimizer.state_dict()
            stopped.load_state_dict(whole.state_dict())
        optimizer.step(problem.make_closure(whole, optimizer, batch))
    resumed = SAM(stopped.parameters(), problem.SGD, rho=0.1, every=3)
    resumed.load_state_dict(state)
    for batch in batches[5:]:
        resumed.step(problem.make_closure(stopped, resumed, batch))
    assert torch.equal(problem.vector(whole), problem.vector(stopped))
    resumed.load_state_dict(problem.SGD(stopped.parameters()).state_dict())  # the base's alone: starts a new period
    assert resumed._reused is None


def test_an_interrupted_looksam_step_takes_a_new_component():
    model = problem.make_network()
    first, second = problem.make_batches(2)
    optimizer = SAM(model.parameters(), problem.SGD, rho=0.2, every=2)
    optimizer.step(problem.make_closure(model, optimizer, first))
    optimizer.step(problem.make_closure(model, optimizer, first))
    before, calls = problem.vector(model), []

    def interrupted():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return problem.make_closure(model, optimizer, second)()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupted)
    assert torch.equal(problem.vector(model), before)
    optimizer.step(problem.make_closure(model, optimizer, second))
    expected = problem.sharp_gradient(before, 0.2, second)
    torch.testing.assert_close(problem.vector(model), before - problem.LR * expected, rtol=1e-11, atol=1e-13)
