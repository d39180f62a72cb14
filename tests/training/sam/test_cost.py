"""What SAM costs beside the passes: memory in copies of the parameters, and never a wait for the device."""

import functools

import pytest
import torch
from cases import sam_problem as problem
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from landscape.training.sam import SAM, RandomPerturbation


def peak(make, *, closures=1):
    """Return the most that is allocated at once in the first three steps, in copies of the parameters."""
    weights = [nn.Parameter(torch.ones(512, 512)) for _ in range(4)]
    optimizer, x = make(weights), torch.ones(512, 1)

    def closure():
        optimizer.zero_grad()
        loss = sum((w @ x).sum() for w in weights)
        loss.backward()
        return loss.detach()

    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profile:
        for _ in range(3):
            optimizer.step(closure if closures == 1 else [closure] * closures)
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest / (4 * 512 * 512 * 4)


@pytest.mark.parametrize(
    ("copies", "closures", "options"),
    [
        (1, 1, {}),
        (1, 1, {"p": float("inf")}),
        (1, 1, {"adaptive": "all"}),
        (2, 1, {"gsam_alpha": 0.1}),
        (2, 1, {"every": 2}),
        (2, 3, {}),
        (2, 3, {"ascent": "global"}),
    ],
    ids=str,
)
def test_memory_beyond_the_base_in_copies_of_the_parameters(copies, closures, options):
    base = peak(functools.partial(torch.optim.SGD, lr=0.1))
    assert base == pytest.approx(1, abs=0.3)  # the gradients: the measure sees what it should
    more = peak(lambda w: SAM(w, functools.partial(torch.optim.SGD, lr=0.1), **options), closures=closures) - base
    assert copies - 0.3 < more < copies + 0.05


class Waits(TorchDispatchMode):
    """Counts what has the host wait for a device: a number, or a shape that depends on numbers, read back."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
            torch.ops.aten.equal,
            torch.ops.aten.is_nonzero,
        )
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "make",
    [
        SAM,
        functools.partial(SAM, p=3.0, max_norm=0.1),
        functools.partial(SAM, p=float("inf"), adaptive="all"),
        functools.partial(SAM, gsam_alpha=0.1, ascent="global"),
        functools.partial(SAM, every=2),
        RandomPerturbation,
    ],
    ids=str,
)
def test_no_step_waits_for_the_device(make):
    model = problem.make_network()
    optimizer = make(model.parameters(), problem.SGD)
    for batches in problem.micro_batches(steps=3, count=2):
        closures = [problem.make_closure(model, optimizer, batch) for batch in batches]
        with Waits() as waits:
            loss = optimizer.step(closures)
            assert waits.count == 0
            loss.item()
            assert waits.count == 1
