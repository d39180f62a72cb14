"""Random weight perturbation: the noise it promises, the gradient at the noisy weights, and the weights back."""

import copy
import functools
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.training.sam import RandomPerturbation

SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
STILL = functools.partial(torch.optim.SGD, lr=0.0)


def make_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(80, 3)
        ).double()


def make_batches(count):
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(8, 2, 6, 6, generator=generator, dtype=torch.float64),
            torch.randint(0, 3, (8,), generator=generator),
        )
        for _ in range(count)
    ]


def make_closure(model, optimizer, batch, seen=None):
    def closure():
        optimizer.zero_grad()
        if seen is not None:
            seen.append([p.detach().clone() for p in model.parameters()])
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def run(model, optimizer, batches):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        for batch in batches:
            optimizer.step(make_closure(model, optimizer, batch))
        return torch.get_rng_state()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_the_noise_is_gaussian_and_scaled_to_each_filter():
    """Per filter: zero mean, standard deviation γ‖w_f‖ per entry, kurtosis 3; a 1-D tensor is one filter."""
    weight, bias = (
        nn.Parameter(torch.randn(3, 2000) * torch.tensor([[1.0], [5.0], [0.0]])),
        nn.Parameter(torch.randn(4000)),
    )
    optimizer, seen = RandomPerturbation([weight, bias], STILL, gamma=0.02), []

    def closure():
        seen.append(((weight - before[0]).detach(), (bias - before[1]).detach()))
        return 0.0

    before = [weight.detach().clone(), bias.detach().clone()]
    for _ in range(3):
        optimizer.step(closure)
    assert torch.equal(weight.detach(), before[0])
    assert not torch.equal(seen[0][0], seen[1][0])
    for i in range(2):
        noise = torch.cat([step[0][i] for step in seen]).double()
        deviation = 0.02 * before[0][i].norm().item()
        assert noise.std().item() == pytest.approx(deviation, rel=0.05)
        assert abs(noise.mean().item()) < 4 * deviation / len(noise) ** 0.5
        assert (noise**4).mean().item() == pytest.approx(3 * deviation**4, rel=0.25)
    assert all(torch.equal(step[0][2], torch.zeros(2000)) for step in seen)
    noise = torch.cat([step[1] for step in seen])
    assert noise.std().item() == pytest.approx(0.02 * before[1].norm().item(), rel=0.05)


def test_the_step_goes_along_the_mean_of_the_gradients_at_the_noisy_weights():
    """With several closures each has noise of its own; the weights come back, and SGD steps from them."""
    model, batches = make_network(), make_batches(2)
    model[3].p = 0.0
    optimizer = RandomPerturbation(model.parameters(), functools.partial(torch.optim.SGD, lr=0.1), gamma=0.05)
    before, seen = copy.deepcopy(list(model.parameters())), []
    loss = optimizer.step([make_closure(model, optimizer, batch, seen) for batch in batches])
    gradients, losses = [], []
    for weights, batch in zip(seen, batches, strict=True):
        twin = make_network()
        twin[3].p = 0.0
        nn.utils.vector_to_parameters(torch.cat([w.flatten() for w in weights]), twin.parameters())
        losses.append(F.cross_entropy(twin(batch[0]), batch[1]))
        gradients.append(torch.autograd.grad(losses[-1], list(twin.parameters())))
    assert loss.item() == pytest.approx(sum(losses).item() / 2, rel=1e-12)
    for p, start, g, h in zip(model.parameters(), before, *gradients, strict=True):
        torch.testing.assert_close(p, start - 0.1 * (g + h) / 2, rtol=1e-12, atol=1e-15)
    assert not torch.equal(seen[0][0], seen[1][0])


@pytest.mark.parametrize("closures", [1, 2])
def test_gamma_zero_equals_the_base_bit_for_bit(closures):
    """The noise has generators of its own: dropout sees the base's numbers. One forward pass per closure and step."""
    plain, model, batches = make_network(), make_network(), make_batches(4)
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    sgd, optimizer = SGD(plain.parameters()), RandomPerturbation(model.parameters(), SGD, gamma=0.0)
    if closures == 1:
        assert torch.equal(run(plain, sgd, batches), run(model, optimizer, batches))
        assert_same(plain.state_dict(), model.state_dict())
    else:
        optimizer.step([make_closure(model, optimizer, batch) for batch in batches])
    assert len(passes) == 4
    assert model[1].num_batches_tracked == 4


def test_seeds_decide_the_noise_and_a_state_continues_it():
    batches = make_batches(4)
    results = {}
    for name, seed in {"first": 0, "again": 0, "other": 1}.items():
        model = make_network()
        run(model, RandomPerturbation(model.parameters(), SGD, gamma=0.05, seed=seed), batches)
        results[name] = model.state_dict()
    assert_same(results["first"], results["again"])
    assert not torch.equal(results["first"]["0.weight"], results["other"]["0.weight"])

    model = make_network()
    model[3].p = 0.0
    optimizer = RandomPerturbation(model.parameters(), SGD, gamma=0.05)
    run(model, optimizer, batches[:2])
    stopped = copy.deepcopy(model)
    resumed = RandomPerturbation(stopped.parameters(), SGD, gamma=9.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    twin, other = pickle.loads(pickle.dumps((model, optimizer)))
    for m, o in ((model, optimizer), (stopped, resumed), (twin, other)):
        run(m, o, batches[2:])
    assert_same(model.state_dict(), stopped.state_dict())
    assert_same(model.state_dict(), twin.state_dict())


def test_gamma_of_each_group_and_its_schedule():
    model, (batch,), seen = make_network(), make_batches(1), []
    optimizer = RandomPerturbation(
        [{"params": model[0].parameters(), "gamma": 0.0}, {"params": model[5].parameters()}], STILL
    )
    optimizer.step(make_closure(model, optimizer, batch, seen))
    for group in optimizer.param_groups:
        group["gamma"] = 0.0
    optimizer.step(make_closure(model, optimizer, batch, seen))
    moved = [[bool((a != b).any()) for a, b in zip(step, model.parameters(), strict=True)] for step in seen]
    assert moved == [[False, False, False, False, True, True], [False] * 6]
    assert optimizer.param_groups[1]["lr"] == 0.0


def test_an_error_in_the_pass_brings_the_weights_back():
    model = make_network()
    before = copy.deepcopy(list(model.parameters()))
    optimizer = RandomPerturbation(model.parameters(), SGD, gamma=0.1)

    def closure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"gamma": -0.1}, "gamma must be"), ({"gamma": float("inf")}, "gamma must be"), ({"seed": -1}, "seed must be")],
    ids=str,
)
def test_refusals(options, message):
    with pytest.raises(LandscapeError, match=message):
        RandomPerturbation([nn.Parameter(torch.ones(1))], SGD, **options)
    with pytest.raises(LandscapeError, match="closure"):
        RandomPerturbation([nn.Parameter(torch.ones(1))], SGD).step()
