"""SAM as a torch optimizer: over any base, with clipping, schedules, copies, and gradients in any state."""

import copy
import functools
import io
import pickle
import warnings

import pytest
import torch
from cases import sam_problem as problem
from torch import nn
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.training.sam import SAM

SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
ADAM = functools.partial(torch.optim.Adam, lr=0.01)
BASES = [
    SGD,
    ADAM,
    torch.optim.Adadelta,
    torch.optim.Adafactor,
    torch.optim.Adagrad,
    torch.optim.Adamax,
    torch.optim.AdamW,
    functools.partial(torch.optim.Adam, amsgrad=True, capturable=False, foreach=False),
    torch.optim.ASGD,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
]


def sam_gradient(model, batch, rho):
    """The gradient at w + ρ g / ‖g‖, through a copy of the model."""
    twin = copy.deepcopy(model)
    for _ in range(2):
        twin.zero_grad()
        F.mse_loss(twin(batch[0]), batch[1]).backward()
        g = torch.cat([p.grad.flatten() for p in twin.parameters()])
        nn.utils.vector_to_parameters(problem.vector(model) + rho * g / g.norm(), twin.parameters())
    return [p.grad for p in twin.parameters()]


@pytest.mark.parametrize("base", BASES, ids=lambda base: getattr(base, "func", base).__name__)
def test_any_torch_optimizer_steps_along_sams_gradient(base):
    model, plain = problem.make_network(), problem.make_network()
    optimizer, expected = SAM(model.parameters(), base, rho=0.2), base(plain.parameters())
    for batch in problem.make_batches(4):
        for p, g in zip(plain.parameters(), sam_gradient(plain, batch, 0.2), strict=True):
            p.grad = g
        expected.step()
        optimizer.step(problem.make_closure(model, optimizer, batch))
        torch.testing.assert_close(problem.vector(model), problem.vector(plain), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("base", BASES, ids=lambda base: getattr(base, "func", base).__name__)
def test_rho_zero_equals_any_base_bit_for_bit(base):
    model, plain = problem.make_network(), problem.make_network()
    optimizer, expected = SAM(model.parameters(), base, rho=0.0), base(plain.parameters())
    for batch in problem.make_batches(4):
        expected.step(problem.make_closure(plain, expected, batch))
        optimizer.step(problem.make_closure(model, optimizer, batch))
    assert torch.equal(problem.vector(model), problem.vector(plain))


def test_a_base_with_a_rho_of_its_own_keeps_it():
    model = problem.make_network()
    groups = [{"params": model[0].parameters(), "rho": 0.3}, {"params": model[2].parameters()}]
    optimizer = SAM(groups, functools.partial(torch.optim.Adadelta, rho=0.8), rho=0.1)
    assert [group["rho"] for group in optimizer.base.param_groups] == [0.8, 0.8]
    assert [group["perturbation_rho"] for group in optimizer.param_groups] == [0.3, 0.1]
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert optimizer.param_groups[2]["rho"] == 0.8
    assert optimizer.param_groups[2]["perturbation_rho"] == 0.1


@pytest.mark.parametrize(
    "base", [torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), "SGD"], ids=["instance", "name"]
)
def test_a_base_that_is_no_function_is_refused(base):
    with pytest.raises(LandscapeError, match=r"functools\.partial"):
        SAM([nn.Parameter(torch.ones(1))], base)


def test_lbfgs_is_refused():
    with pytest.raises(LandscapeError, match="LBFGS evaluates closures itself"):
        SAM([nn.Parameter(torch.ones(1))], torch.optim.LBFGS)


@pytest.mark.parametrize("max_norm", [0.01, 1e6])
def test_clipping_is_torchs_on_the_final_gradient(max_norm):
    model, plain = problem.make_network(), problem.make_network()
    optimizer, sgd = SAM(model.parameters(), SGD, rho=0.2, max_norm=max_norm), SGD(plain.parameters())
    for batch in problem.make_batches(3):
        for p, g in zip(plain.parameters(), sam_gradient(plain, batch, 0.2), strict=True):
            p.grad = g
        nn.utils.clip_grad_norm_(plain.parameters(), max_norm)
        sgd.step()
        optimizer.step(problem.make_closure(model, optimizer, batch))
        torch.testing.assert_close(problem.vector(model), problem.vector(plain), rtol=1e-12, atol=1e-15)


def test_rho_is_scheduled_through_the_groups():
    weight = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    optimizer, seen = SAM([weight], functools.partial(torch.optim.SGD, lr=0.0), rho=0.1), []

    def closure():
        optimizer.zero_grad()
        seen.append(weight.item())
        loss = (weight**2).sum()
        loss.backward()
        return loss

    for rho in (0.1, 0.5, 0.0, torch.tensor(0.25)):
        optimizer.param_groups[0]["rho"] = rho
        optimizer.step(closure)
        assert seen[-1] - seen[-2] == pytest.approx(float(rho), abs=1e-15)


@pytest.mark.parametrize("over", ["sam", "base"])
def test_schedulers_give_no_warning_about_the_order_of_steps(over):
    model = problem.make_network()
    optimizer = SAM(model.parameters(), SGD)
    scheduled = optimizer if over == "sam" else optimizer.base
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(scheduled, T_max=10)
        for batch in problem.make_batches(2):
            optimizer.step(problem.make_closure(model, optimizer, batch))
            scheduler.step()
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(scheduled, patience=0)
        plateau.step(1.0)
        plateau.step(2.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.9045, rel=1e-3)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch"])
def test_a_copy_of_model_and_optimizer_trains_identically(way):
    model, batches = nn.Sequential(problem.make_network(), nn.BatchNorm1d(2).double()), problem.make_batches(6)
    optimizer = SAM(model.parameters(), ADAM, rho=0.2, every=2, adaptive="all", model=model)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)  # wraps `step`, which a copy must not keep
    optimizer.register_step_post_hook(lambda *_: None)
    for batch in batches[:3]:
        optimizer.step(problem.make_closure(model, optimizer, batch))
    if way == "deepcopy":
        twin, other = copy.deepcopy((model, optimizer))
    elif way == "pickle":
        twin, other = pickle.loads(pickle.dumps((model, optimizer)))
    else:
        torch.save((model, optimizer), buffer := io.BytesIO())
        buffer.seek(0)
        twin, other = torch.load(buffer, weights_only=False)
    assert other.param_groups[0]["params"][0] is next(iter(twin.parameters()))
    for batch in batches[3:]:
        optimizer.step(problem.make_closure(model, optimizer, batch))
    assert not torch.equal(problem.vector(model), problem.vector(twin))
    for batch in batches[3:]:
        other.step(problem.make_closure(twin, other, batch))
    for name, value in model.state_dict().items():
        assert torch.equal(twin.state_dict()[name], value), name
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups is other.base.param_groups


def test_gradients_kept_as_zeros_step_as_the_bases_do():
    """With set_to_none=False a parameter without a gradient has a zero one: weight decay and momentum move it."""
    base = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1)
    models, results = (problem.make_network(), problem.make_network()), []
    extra = [nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in models]
    for model, e, make in zip(models, extra, (base, functools.partial(SAM, base=base, rho=0.0)), strict=True):
        optimizer = make([*model.parameters(), e])
        for number, batch in enumerate(problem.make_batches(4)):

            def closure(model=model, optimizer=optimizer, number=number, batch=batch, e=e):
                optimizer.zero_grad(set_to_none=False)
                loss = F.mse_loss(model(batch[0]), batch[1]) + (e.sum() if number == 1 else 0)
                loss.backward()
                return loss

            optimizer.step(closure)
        results.append(torch.cat([problem.vector(model), e.detach()]))
    assert torch.equal(*results)
    assert not torch.equal(results[0][-2:], torch.ones(2))


def test_a_step_inside_no_grad_works():
    model, twin, (batch,) = problem.make_network(), problem.make_network(), problem.make_batches(1)
    optimizer, usual = (SAM(m.parameters(), SGD, rho=0.2) for m in (model, twin))
    usual.step(problem.make_closure(twin, usual, batch))
    with torch.no_grad():
        optimizer.step(problem.make_closure(model, optimizer, batch))
        assert not torch.is_grad_enabled()
    assert torch.equal(problem.vector(model), problem.vector(twin))


def test_frozen_parameters_stay():
    model, (batch,) = problem.make_network(), problem.make_batches(1)
    model[0].requires_grad_(False)
    before = problem.vector(model[0])
    SAM(model.parameters(), ADAM, rho=0.5).step(problem.make_closure(model, model, batch))
    assert torch.equal(problem.vector(model[0]), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_move_by_rho(dtype):
    """‖g‖ = 2e-6 is a subnormal of float16 and its square is zero there: the norm must be taken in float32."""
    weight = nn.Parameter(torch.zeros(4, dtype=dtype))
    optimizer, seen = SAM([weight], functools.partial(torch.optim.SGD, lr=0.0), rho=0.5), []

    def closure():
        seen.append(weight.detach().clone())
        weight.grad = torch.full((4,), 1e-6, dtype=dtype)
        return 0.0

    optimizer.step(closure)
    torch.testing.assert_close(seen[1], torch.full((4,), 0.25, dtype=dtype), rtol=1e-3, atol=0)


def test_a_compiled_model_trains_as_the_eager_one():
    """Dynamo guards on the flag that freezes BatchNorm's statistics, and on no weight's value."""
    eager, compiled = (nn.Sequential(problem.make_network(), nn.BatchNorm1d(2).double()) for _ in range(2))
    called = torch.compile(compiled, backend="eager")
    first = SAM(eager.parameters(), SGD, rho=0.3, model=eager)
    second = SAM(compiled.parameters(), SGD, rho=0.3, model=called)
    for batch in problem.make_batches(3):
        first.step(problem.make_closure(eager, first, batch))
        second.step(problem.make_closure(called, second, batch))
    for name, value in eager.state_dict().items():
        assert torch.equal(compiled.state_dict()[name], value), name
