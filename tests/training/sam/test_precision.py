"""SAM with fp16 gradient scaling and with autocast: scaled steps are the unscaled ones, and overflows skip cleanly."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.amp import GradScaler
from torch.nn import functional as F

from landscape.training.sam import SAM, RandomPerturbation

SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = functools.partial(torch.optim.Adam, lr=0.01)
FUSED = functools.partial(
    torch.optim.Adam, lr=0.01, fused=True
)  # skips by a flag on the device rather than on the host
VARIANTS = [
    {},
    {"p": float("inf")},
    {"p": 3.0},
    {"adaptive": "all"},
    {"every": 2},
    {"gsam_alpha": 0.3},
    {"max_norm": 0.1},
    {"ascent": "global"},
]


def make_network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def make_batches(count):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(12, 4, generator=generator), torch.randint(0, 3, (12,), generator=generator)) for _ in range(count)
    ]


def make_scaler(**options):
    return GradScaler("cpu", **{"init_scale": 2.0**10, "growth_interval": 10**6, **options})


class Blow:
    """An identity that turns the gradient into an infinite one in the passes named, counted from 0."""

    def __init__(self, *passes, value=float("inf")):
        self.passes, self.value, self.count = passes, value, -1

    def __call__(self, outputs):
        self.count += 1
        if self.count in self.passes:
            outputs.register_hook(lambda g: torch.full_like(g, self.value))
        return outputs


def make_closure(model, optimizer, batch, *, scaler=None, dtype=None, blow=None):
    def closure():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            outputs = model(batch[0])
        outputs = outputs if blow is None else blow(outputs)
        loss = F.cross_entropy(outputs.float(), batch[1])
        (loss if scaler is None else scaler.scale(loss)).backward()
        return loss.detach()

    return closure


def halves(batch):
    return [tuple(part[:6] for part in batch), tuple(part[6:] for part in batch)]


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("base", [SGD, ADAM, FUSED], ids=["sgd", "adam", "fused"])
def test_scaled_steps_are_the_unscaled_ones(options, base):
    """A scale of a power of two cancels without rounding, so even that is bit for bit the same."""
    plain, scaled, scaler = make_network(), make_network(), make_scaler()
    usual = SAM(plain.parameters(), base, rho=0.3, model=plain, **options)
    optimizer = SAM(scaled.parameters(), base, rho=0.3, model=scaled, **options)
    for batch in make_batches(4):
        expected = usual.step([make_closure(plain, usual, half) for half in halves(batch)])
        loss = optimizer.step(
            [make_closure(scaled, optimizer, half, scaler=scaler) for half in halves(batch)], scaler=scaler
        )
        scaler.update()
        assert loss.item() == expected.item()
    assert_same(plain.state_dict(), scaled.state_dict())


@pytest.mark.parametrize(("base", "scale"), [(SGD, 1000.0), (FUSED, 2.0**16)], ids=["sgd", "fused"])
def test_random_perturbation_takes_a_scaler_too(base, scale):
    plain, scaled, scaler = make_network(), make_network(), make_scaler(init_scale=scale)
    usual, optimizer = (RandomPerturbation(m.parameters(), base, gamma=0.1, max_norm=0.5) for m in (plain, scaled))
    for batch in make_batches(3):
        usual.step(make_closure(plain, usual, batch))
        optimizer.step(make_closure(scaled, optimizer, batch, scaler=scaler), scaler=scaler)
        scaler.update()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(scaled.state_dict()[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize(("closures", "value"), [(1, float("nan")), (2, float("inf"))])
def test_an_overflow_in_any_pass_skips_the_step(options, closures, value):
    """Weights, momentum and statistics as torch leaves them, the scale halved, and the next step as if nothing were."""
    for bad in range(2 * closures):
        model, undisturbed = make_network(), make_network()
        scaler, blow = make_scaler(), Blow(bad, value=value)
        optimizer = SAM(model.parameters(), SGD, rho=0.3, model=model, **options)
        usual = SAM(undisturbed.parameters(), SGD, rho=0.3, model=undisturbed, **options)
        first, second = make_batches(2)
        weights = copy.deepcopy(list(model.parameters()))

        def step(batch, blow=None, *, model=model, optimizer=optimizer, scaler=scaler):
            parts = [batch] if closures == 1 else halves(batch)
            optimizer.step(
                [make_closure(model, optimizer, part, scaler=scaler, blow=blow) for part in parts], scaler=scaler
            )
            scaler.update()

        step(first, blow)
        assert blow.count >= bad
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), weights, strict=True))
        assert not optimizer.state, "the base has stepped"
        assert scaler.get_scale() == 2.0**9
        assert model[1].num_batches_tracked == closures
        undisturbed.load_state_dict(model.state_dict())  # the statistics have seen the batch
        step(second)
        step(second, model=undisturbed, optimizer=usual, scaler=make_scaler())
        assert_same(undisturbed.state_dict(), model.state_dict())
        assert scaler.get_scale() == 2.0**9


def test_an_overflow_in_the_first_pass_saves_the_second():
    model, (batch,) = make_network(), make_batches(1)
    optimizer, scaler, blow = SAM(model.parameters(), SGD), make_scaler(), Blow(0)
    optimizer.step(make_closure(model, optimizer, batch, scaler=scaler, blow=blow), scaler=scaler)
    assert blow.count == 0


def test_looksam_survives_an_overflow_between_its_ascents():
    model, batches = make_network(), make_batches(4)
    optimizer, scaler, blow = SAM(model.parameters(), SGD, rho=0.3, every=4, model=model), make_scaler(), Blow(3)
    for batch in batches:  # passes 0 and 1, then 2, 3 and 4
        kept = optimizer._reused
        optimizer.step(make_closure(model, optimizer, batch, scaler=scaler, blow=blow), scaler=scaler)
        scaler.update()
        assert optimizer._reused is kept or kept is None
    assert blow.count == 4
    assert scaler.get_scale() == 2.0**9
    assert all(p.isfinite().all() for p in model.parameters())


def test_the_scale_grows_as_ever_and_a_disabled_scaler_does_nothing():
    model, twin, (batch,) = make_network(), make_network(), make_batches(1)
    optimizer, usual = (SAM(m.parameters(), SGD, model=m) for m in (model, twin))
    growing, disabled = make_scaler(growth_interval=2), GradScaler("cpu", enabled=False)
    for _ in range(4):
        optimizer.step(make_closure(model, optimizer, batch, scaler=growing), scaler=growing)
        growing.update()
        usual.step(make_closure(twin, usual, batch, scaler=disabled), scaler=disabled)
        disabled.update()
    assert growing.get_scale() == 2.0**12
    assert_same(model.state_dict(), twin.state_dict())


def test_fp16_autocast_trains_from_a_scale_that_overflows():
    """2³⁰ is beyond float16: the first steps are skipped until the scale fits, then the loss falls."""
    model, (batch,) = make_network(), make_batches(1)
    optimizer, scaler = SAM(model.parameters(), ADAM, model=model), make_scaler(init_scale=2.0**30)
    before = copy.deepcopy(list(model.parameters()))
    losses, scales = [], []
    for _ in range(40):
        closure = make_closure(model, optimizer, batch, scaler=scaler, dtype=torch.float16)
        losses.append(optimizer.step(closure, scaler=scaler).item())
        scaler.update()
        scales.append(scaler.get_scale())
        if len(scales) == 1:
            assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert scales[0] == 2.0**29
    assert scales[-1] == scales[-10] < 2.0**24
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_steps_are_near_those_of_float32(dtype):
    plain, mixed, scaler = make_network(), make_network(), make_scaler(init_scale=64.0)
    usual, optimizer = (SAM(m.parameters(), SGD, rho=0.3, model=m) for m in (plain, mixed))
    scaler = scaler if dtype is torch.float16 else None
    for batch in make_batches(3):
        usual.step(make_closure(plain, usual, batch))
        optimizer.step(make_closure(mixed, optimizer, batch, scaler=scaler, dtype=dtype), scaler=scaler)
        if scaler:
            scaler.update()
    assert all(p.dtype is torch.float32 for p in mixed.parameters())
    start = make_network()
    moved = torch.cat([(p - q).flatten() for p, q in zip(plain.parameters(), start.parameters(), strict=True)])
    apart = torch.cat([(p - q).flatten() for p, q in zip(plain.parameters(), mixed.parameters(), strict=True)])
    assert 0 < apart.norm() < 0.05 * moved.norm()


def test_autocast_around_the_whole_step_casts_the_displaced_weights_anew():
    """Autocast caches its casts until its context ends: a stale one would take the second gradient at the weights."""
    inner, outer, batches = make_network(), make_network(), make_batches(3)
    first, second = (SAM(m.parameters(), SGD, rho=0.3, model=m) for m in (inner, outer))
    for batch in batches:
        first.step(make_closure(inner, first, batch, dtype=torch.bfloat16))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            second.step(make_closure(outer, second, batch, dtype=torch.bfloat16))
    assert_same(inner.state_dict(), outer.state_dict())
