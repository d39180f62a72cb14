"""A small smooth problem in float64, and SAM's gradient on it written out slowly, for the tests of the optimizers."""

import functools
import math

import torch
from torch import nn
from torch.nn import functional as F

LR = 0.3
SGD = functools.partial(torch.optim.SGD, lr=LR)


def make_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()


def make_batches(count):
    generator = torch.Generator().manual_seed(1)
    draw = functools.partial(torch.randn, generator=generator, dtype=torch.float64)
    return [(draw(6, 4), draw(6, 2)) for _ in range(count)]


def micro_batches(steps=3, count=4):
    """The micro-batches of each step."""
    batches = make_batches(steps * count)
    return [batches[i * count : (i + 1) * count] for i in range(steps)]


def make_closure(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def vector(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def gradient(w, *batches):
    """∇ of the mean loss over the batches at the flat weights w, through a network of its own."""
    model = make_network()
    nn.utils.vector_to_parameters(w, model.parameters())
    loss = sum(F.mse_loss(model(x), y) for x, y in batches) / len(batches)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def perturbation(g, rho, p=2.0, t=1.0):
    """ε̂ = ρ T sign(h) |h|^(q−1) / (‖h‖_q^q)^(1/p), h = T g, entry by entry; T = 1: eq. 2 of Foret et al."""
    h = [float(a * b) for a, b in zip(g, t * torch.ones_like(g), strict=True)]
    q = 1.0 if p == math.inf else p / (p - 1)
    bottom = sum(abs(x) ** q for x in h) ** (0.0 if p == math.inf else 1 / p)
    direction = torch.tensor([math.copysign(abs(x) ** (q - 1), x) / bottom for x in h], dtype=torch.float64)
    return rho * t * direction


def sharp_gradient(w, rho, *batches):
    """SAM's gradient for p = 2, at the point to which the gradient of the mean loss leads."""
    return gradient(w + perturbation(gradient(w, *batches), rho), *batches)


def assert_follows(model, optimizer, steps, update):
    """The optimizer's weights are those of w ← w − lr · update(w, batches, step), for several steps."""
    w = vector(model)
    for step, batches in enumerate(steps):
        optimizer.step([make_closure(model, optimizer, batch) for batch in batches])
        w = w - LR * update(w, batches, step)
        torch.testing.assert_close(vector(model), w, rtol=1e-10, atol=1e-13)
