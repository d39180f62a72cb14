"""SAM against formulas by hand, the base optimizer alone, and what its paper and docstring promise."""

import copy
import functools
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.training.sam import SAM

ADAM = functools.partial(torch.optim.Adam, lr=1e-2)
SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)


def make_network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(6, 4, 3),
            nn.BatchNorm2d(4, momentum=None),
            nn.Flatten(),
            nn.Linear(16, 3),
        )


def make_batches(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(8, 2, 6, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator))
        for _ in range(count)
    ]


def make_closure(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def run(model, optimizer, batches, seed=7):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        losses = [optimizer.step(make_closure(model, optimizer, batch)).item() for batch in batches]
        return losses, torch.get_rng_state()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_step_on_a_quadratic_is_the_formula():
    """L = ½ wᵀAw over two tensors: the gradient at w + ρ g/‖g‖ with one norm over both, then plain gradient descent."""
    diagonal = torch.tensor([1.0, 4.0, 9.0, 0.5], dtype=torch.float64)
    start = torch.tensor([0.3, -1.0, 0.2, 2.0], dtype=torch.float64)
    a, b = nn.Parameter(start[:1].clone()), nn.Parameter(start[1:].clone())
    optimizer = SAM([a, b], functools.partial(torch.optim.SGD, lr=0.01), rho=0.2)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * (diagonal * torch.cat([a, b]) ** 2).sum()
        loss.backward()
        return loss

    w = start.clone()
    for _ in range(5):
        loss = optimizer.step(closure)
        gradient = diagonal * w
        torch.testing.assert_close(loss.detach(), 0.5 * (diagonal * w**2).sum(), rtol=1e-14, atol=0)
        w = w - 0.01 * diagonal * (w + 0.2 * gradient / gradient.norm())
        torch.testing.assert_close(torch.cat([a, b]).detach(), w, rtol=1e-13, atol=1e-15)


def test_rho_of_each_group_and_one_norm():
    a, b = (nn.Parameter(torch.tensor([x], dtype=torch.float64)) for x in (3.0, 4.0))
    optimizer = SAM([{"params": [a], "rho": 0.5}, {"params": [b]}], functools.partial(torch.optim.SGD, lr=1.0), rho=0.1)
    seen = []

    def closure():
        optimizer.zero_grad()
        seen.append((a.item(), b.item()))
        loss = 0.5 * (a**2 + b**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen[0] == (3.0, 4.0)
    assert seen[1] == pytest.approx((3 + 0.5 * 0.6, 4 + 0.1 * 0.8), rel=1e-14)


@pytest.mark.parametrize("base", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("fused", [False, True])
def test_rho_zero_equals_the_base_bit_for_bit(base, fused):
    base, batches = functools.partial(base, fused=fused), make_batches(5)
    plain, sharp = make_network(), make_network()
    optimizer = base(plain.parameters())
    losses, generator = run(plain, optimizer, batches)
    passes = []
    sharp[0].register_forward_hook(lambda *_: passes.append(1))
    sam = SAM(sharp.parameters(), base, rho=0.0, model=sharp)
    sharp_losses, sharp_generator = run(sharp, sam, batches)
    assert sharp_losses == losses
    assert torch.equal(sharp_generator, generator)
    assert len(passes) == 2 * len(batches)
    assert_same(plain.state_dict(), sharp.state_dict())


def test_weights_come_back_bit_for_bit_before_the_base_steps():
    model, (batch,) = make_network(), make_batches(1)
    before = copy.deepcopy(list(model.parameters()))
    optimizer = SAM(model.parameters(), functools.partial(torch.optim.SGD, lr=0.0), rho=0.7)
    visited = []

    def closure():
        visited.append(copy.deepcopy(list(model.parameters())))
        return make_closure(model, optimizer, batch)()

    optimizer.step(closure)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    moved = torch.cat([(p - q).flatten() for p, q in zip(visited[1], visited[0], strict=True)])
    assert moved.norm().item() == pytest.approx(0.7, rel=1e-5)


def test_an_error_in_the_second_pass_leaves_the_weights_and_the_statistics_flag():
    model, (batch,) = make_network(), make_batches(1)
    before = copy.deepcopy(list(model.parameters()))
    optimizer = SAM(model.parameters(), ADAM, rho=0.7, model=model)
    calls = itertools.count()

    def closure():
        loss = make_closure(model, optimizer, batch)()
        if next(calls) == 1:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert model[1].track_running_stats
    assert model[5].track_running_stats


def test_batchnorm_statistics_move_in_the_first_pass_only():
    (batch,) = make_batches(1)
    once, model = make_network(), make_network()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        once(batch[0])
    run(model, SAM(model.parameters(), ADAM, rho=0.5, model=model), [batch])
    assert_same(dict(once.named_buffers()), dict(model.named_buffers()))
    assert model[1].num_batches_tracked == 1


def test_a_frozen_batchnorm_stays_frozen():
    model, batches = make_network(), make_batches(2)
    model[1].eval()
    buffers = copy.deepcopy(dict(model[1].named_buffers()))
    outputs = []
    model[1].register_forward_hook(lambda _, inputs, output: outputs.append((inputs[0], output)))
    run(model, SAM(model.parameters(), ADAM, rho=0.5, model=model), batches)
    assert_same(buffers, dict(model[1].named_buffers()))
    for inputs, output in outputs:  # both passes normalize with the running statistics, 0 and 1
        assert not torch.equal(inputs, output)
        assert inputs.std().item() == pytest.approx(output.std().item(), rel=0.2)


def test_both_passes_see_the_same_dropout_and_the_generator_ends_as_after_one():
    masks = []
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 3))
    model[0].register_forward_hook(lambda _, inputs, output: masks.append(output == 0))
    optimizer = SAM(model.parameters(), ADAM, rho=0.5)
    batch = (torch.ones(4, 64), torch.tensor([0, 1, 2, 0]))
    _, after_two = run(model, optimizer, [batch, batch])
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[2], masks[3])
    assert not torch.equal(masks[0], masks[2])
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model(batch[0])
        model(batch[0])
        assert torch.equal(torch.get_rng_state(), after_two)


def test_zero_and_missing_gradients():
    a, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    optimizer = SAM([a, b], functools.partial(torch.optim.SGD, lr=0.1), rho=0.5)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * ((a - 1) ** 2).sum()  # at its minimum, and without b
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0
    assert torch.equal(a.detach(), torch.ones(3))
    assert torch.equal(b.detach(), torch.ones(2))
    assert b.grad is None
    assert SAM([b], ADAM).step(lambda: torch.tensor(2.0)).item() == 2  # no gradient at all


@pytest.mark.parametrize("base", [ADAM, SGD], ids=["adam", "sgd"])
def test_state_dict_continues_bit_for_bit(base):
    batches = make_batches(6)
    whole = make_network()
    run(whole, SAM(whole.parameters(), base, rho=0.1, model=whole), batches[:3])
    optimizer = SAM(whole.parameters(), base, rho=0.1, model=whole)
    run(whole, optimizer, batches[:3])
    stopped, state = copy.deepcopy(whole), copy.deepcopy(optimizer.state_dict())
    run(whole, optimizer, batches[3:])
    resumed = SAM(stopped.parameters(), functools.partial(base, lr=5.0), rho=3.0, model=stopped)
    resumed.load_state_dict(state)
    assert resumed.param_groups[0]["rho"] == 0.1
    assert resumed.param_groups is resumed.base.param_groups
    assert resumed.state is resumed.base.state
    run(stopped, resumed, batches[3:])
    assert_same(whole.state_dict(), stopped.state_dict())


def test_state_of_the_base_alone_loads_and_keeps_rho():
    model = make_network()
    adam = ADAM(model.parameters())
    run(model, adam, make_batches(1))
    sam = SAM(model.parameters(), ADAM, rho=0.3)
    sam.base.load_state_dict(adam.state_dict())
    assert sam.param_groups[0]["rho"] == 0.3
    assert sam.state is sam.base.state
    run(model, sam, make_batches(1))


@pytest.mark.parametrize("over", ["sam", "base"])
def test_schedulers_work_on_either(over):
    model = make_network()
    sam = SAM(model.parameters(), functools.partial(torch.optim.SGD, lr=1.0), rho=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(sam if over == "sam" else sam.base, step_size=1, gamma=0.5)
    for expected, batch in zip((0.5, 0.25, 0.125), make_batches(3), strict=True):
        sam.step(make_closure(model, sam, batch))
        scheduler.step()
        assert sam.param_groups[0]["lr"] == sam.base.param_groups[0]["lr"] == expected
    torch.optim.lr_scheduler.OneCycleLR(SAM(model.parameters(), SGD), max_lr=0.1, total_steps=5)


def test_groups_can_be_added_and_named():
    model = make_network()
    sam = SAM(model[0].named_parameters(), ADAM, rho=0.2)
    sam.add_param_group({"params": list(model[7].named_parameters()), "lr": 0.5})
    assert sam.base.param_groups[1]["rho"] == 0.2
    assert sam.base.param_groups[1]["lr"] == 0.5
    run(model, sam, make_batches(1))
    assert sam.param_groups[0]["param_names"] == ["weight", "bias"]
    assert len(sam.state_dict()["state"]) == 4


def test_refusals():
    weight = nn.Parameter(torch.ones(1))
    for rho in (-0.1, float("nan"), float("inf")):
        with pytest.raises(LandscapeError, match="rho must be"):
            SAM([weight], ADAM, rho=rho)
    with pytest.raises(LandscapeError, match="closure"):
        SAM([weight], ADAM).step()
