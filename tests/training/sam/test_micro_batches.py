"""Several closures in one step: m-SAM, and gradient accumulation with one ascent."""

import functools

import pytest
import torch
from cases import sam_problem as problem
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.training.sam import SAM


def test_m_sam_ascends_per_micro_batch():
    model = problem.make_network()
    optimizer = SAM(model.parameters(), problem.SGD, rho=0.2)

    def update(w, b, _):
        return sum(problem.sharp_gradient(w, 0.2, x) for x in b) / len(b)

    problem.assert_follows(model, optimizer, problem.micro_batches(), update)


@pytest.mark.parametrize("ascent", ["process", "global"])
def test_accumulation_ascends_once_and_equals_the_whole_batch(ascent):
    model, whole = problem.make_network(), problem.make_network()
    optimizer = SAM(model.parameters(), problem.SGD, rho=0.2, ascent=ascent)
    at_once = SAM(whole.parameters(), problem.SGD, rho=0.2)
    steps = problem.micro_batches()
    problem.assert_follows(model, optimizer, steps, lambda w, b, _: problem.sharp_gradient(w, 0.2, *b))
    for batches in steps:
        at_once.step(problem.make_closure(whole, at_once, tuple(map(torch.cat, zip(*batches, strict=True)))))
    torch.testing.assert_close(problem.vector(model), problem.vector(whole), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("clears", ["none", "zero", "never", "model"])
@pytest.mark.parametrize("ascent", ["local", "global"])
def test_closures_may_clear_gradients_in_any_way(clears, ascent):
    """The sums of several closures survive whatever a closure does to p.grad: the result is the same bit for bit."""
    model, reference = problem.make_network(), problem.make_network()
    batches = problem.make_batches(3)
    optimizer, usual = (SAM(m.parameters(), problem.SGD, rho=0.2, ascent=ascent) for m in (model, reference))

    def closure(batch):
        {
            "none": optimizer.zero_grad,
            "zero": functools.partial(optimizer.zero_grad, set_to_none=False),
            "model": model.zero_grad,
            "never": lambda: None,
        }[clears]()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.zero_grad()
        loss = optimizer.step([functools.partial(closure, batch) for batch in batches])
        expected = usual.step([problem.make_closure(reference, usual, batch) for batch in batches])
        assert torch.equal(problem.vector(model), problem.vector(reference))
        assert loss.item() == expected.item()


def test_the_loss_of_several_closures_is_their_mean_at_the_weights():
    model, batches = problem.make_network(), problem.make_batches(3)
    optimizer = SAM(model.parameters(), problem.SGD, rho=0.2)
    expected = sum(F.mse_loss(model(x), y).item() for x, y in batches) / 3
    loss = optimizer.step([problem.make_closure(model, optimizer, batch) for batch in batches])
    assert loss.item() == pytest.approx(expected, rel=1e-14)
    assert not loss.requires_grad
    with pytest.raises(LandscapeError, match="return its loss, not NoneType"):
        optimizer.step([lambda: None, lambda: None])


@pytest.mark.parametrize("ascent", ["local", "global"])
def test_an_error_in_any_pass_leaves_the_weights(ascent):
    for bad in range(4):
        model, batches, calls = problem.make_network(), problem.make_batches(2), []
        before = problem.vector(model)
        optimizer = SAM(model.parameters(), problem.SGD, rho=0.5, ascent=ascent)

        def closure(batch, model=model, optimizer=optimizer, calls=calls, bad=bad):
            loss = problem.make_closure(model, optimizer, batch)()
            calls.append(1)
            if len(calls) == bad + 1:
                raise KeyboardInterrupt
            return loss

        with pytest.raises(KeyboardInterrupt):
            optimizer.step([functools.partial(closure, batch) for batch in batches])
        assert torch.equal(problem.vector(model), before)
