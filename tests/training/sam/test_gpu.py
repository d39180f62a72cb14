"""SAM on a CUDA device: several devices in one model, no waiting, captured graphs, fp16; skipped without one."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.training.sam import SAM, RandomPerturbation

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

SGD = functools.partial(torch.optim.SGD, lr=0.1)
VARIANTS = [
    SAM,
    functools.partial(SAM, p=3.0, max_norm=0.1),
    functools.partial(SAM, p=math.inf, adaptive="all"),
    functools.partial(SAM, gsam_alpha=0.1, ascent="global"),
    functools.partial(SAM, every=2),
    functools.partial(RandomPerturbation, gamma=0.0),
]


class Network(nn.Module):
    def __init__(self, first, second, dtype=torch.float64):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(4, 6, dtype=dtype), nn.Linear(6, 3, dtype=dtype)
        self.first.to(first)
        self.second.to(second)

    def forward(self, x):
        x = torch.tanh(self.first(x.to(self.first.weight.device)))
        return self.second(x.to(self.second.weight.device))


def make_batch(device, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, n, generator=generator, dtype=dtype).to(device) for n in (4, 3)]


def make_closure(model, optimizer, batch, scaler=None):
    def closure():
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16, enabled=scaler is not None):
            outputs = model(batch[0])
        loss = F.mse_loss(outputs.to(batch[1].dtype), batch[1])
        (loss if scaler is None else scaler.scale(loss)).backward()
        return loss.detach()

    return closure


def vector(model):
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


@pytest.mark.parametrize("make", VARIANTS, ids=str)
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")], ids=str)
def test_parameters_on_any_devices_take_the_same_steps(make, devices):
    model, reference = Network(*devices), Network("cpu", "cpu")
    for m, device in ((model, devices[1]), (reference, "cpu")):
        optimizer, batch = make(m.parameters(), SGD, model=m), make_batch(device)
        for _ in range(3):
            optimizer.step([make_closure(m, optimizer, batch)] * 2)
    torch.testing.assert_close(vector(model), vector(reference), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", VARIANTS, ids=str)
def test_no_step_waits_for_the_device(make):
    model, batch = Network("cuda", "cuda"), make_batch("cuda")
    optimizer = make(model.parameters(), SGD)
    closure = make_closure(model, optimizer, batch)
    for _ in range(2):
        optimizer.step([closure, closure])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            optimizer.step([closure, closure])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_captured_step_is_the_eager_one():
    model, twin, batch = Network("cuda", "cuda"), Network("cuda", "cuda"), make_batch("cuda")
    optimizer, usual = (SAM(m.parameters(), SGD, rho=0.2) for m in (model, twin))
    closure = make_closure(model, optimizer, batch)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.step(closure)
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step(closure)
    for _ in range(4):
        graph.replay()
    for _ in range(7):
        usual.step(make_closure(twin, usual, batch))
    torch.testing.assert_close(vector(model), vector(twin), rtol=1e-9, atol=1e-12)


def test_fp16_training_skips_overflows_and_then_learns():
    model, batch = Network("cuda", "cuda", torch.float32), make_batch("cuda", torch.float32)
    optimizer = SAM(model.parameters(), functools.partial(torch.optim.Adam, lr=0.01, fused=True), model=model)
    scaler, before, losses = torch.amp.GradScaler("cuda", init_scale=2.0**40), vector(model), []
    for _ in range(60):
        losses.append(optimizer.step(make_closure(model, optimizer, batch, scaler), scaler=scaler).item())
        scaler.update()
        if len(losses) == 1:
            assert torch.equal(vector(model), before)
            assert scaler.get_scale() == 2.0**39
    assert losses[-1] < 0.8 * losses[0]
