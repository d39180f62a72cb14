"""Training of a curve's control point against a plain loop of Adam."""

import copy
import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from cases.curve_problem import INPUTS, LABELS, N, flat, network, objective
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from landscape.analysis.connectivity.barrier import barriers
from landscape.analysis.connectivity.curve_training import CurveSettings, CurveTraining, train_curve
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten
from landscape.analysis.planes import line_between
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError


def draw(seed: int, what: str, number: int) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256(f"curve/{seed}/{what}/{number}".encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def test_steps_are_adams_on_the_mini_batches_own_statistics() -> None:
    second = network(1)
    training = CurveTraining(
        objective(), second.state_dict(), CurveSettings(steps=5, batch_size=4, learning_rate=0.02, seed=7)
    )
    ends = [dict(model.named_parameters()) for model in (network(0), second)]
    control = {name: (0.5 * (w + ends[1][name])).detach().requires_grad_() for name, w in ends[0].items()}
    adam = torch.optim.Adam(control.values(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 5)
    for step in range(5):
        t = draw(7, "t", step).uniform()
        chosen = draw(7, "order", step // 3).permutation(N)[4 * (step % 3) :][:4]
        point = {
            name: (1 - t) ** 2 * w + 2 * t * (1 - t) * control[name] + t**2 * ends[1][name]
            for name, w in ends[0].items()
        }
        model = copy.deepcopy(network(0)).train()
        loss = F.cross_entropy(functional_call(model, point, INPUTS[chosen]), LABELS[chosen])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        assert training.step() == pytest.approx(loss.item(), rel=1e-9)
    torch.testing.assert_close(flatten(training.curve.control), flat(control), rtol=1e-7, atol=1e-9)


def test_a_kept_state_goes_on_to_the_same_bits() -> None:
    def begin() -> CurveTraining:
        return CurveTraining(objective(), network(1).state_dict(), CurveSettings(steps=9, batch_size=5, seed=3))

    whole, first, second = begin(), begin(), begin()
    for _ in range(9):
        whole.step()
    for _ in range(4):
        first.step()
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    assert second.done == 4
    for _ in range(5):
        second.step()
    assert second.losses == whole.losses
    for name, tensor in whole.state().items():
        assert torch.equal(second.state()[name], tensor), name


@pytest.mark.parametrize("done", [0, 1, 5])
def test_ready_batches_come_in_their_order(done: int) -> None:
    ready = [(INPUTS[:5], LABELS[:5]), (INPUTS[5:9], LABELS[5:9]), (INPUTS[9:], LABELS[9:])]
    whole, parts = (
        CurveTraining(objective(data={"train": ready}), network(1).state_dict(), CurveSettings(steps=7))
        for _ in range(2)
    )
    for _ in range(7):
        whole.step()
    for _ in range(done):
        parts.step()
    parts.restore({name: tensor.clone() for name, tensor in parts.state().items()})
    for _ in range(7 - done):
        parts.step()
    assert parts.losses == whole.losses
    assert len(set(whole.losses)) == 7


class Ring(nn.Module):
    """Two weights, and a loss that is zero on the unit circle and one at its centre."""

    def __init__(self, angle: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.w.square().sum() - 1).square().expand(len(x))


def test_the_curve_goes_around_a_barrier() -> None:
    found = Objective(Ring(0.1), lambda y, _: y, INPUTS, LABELS, device="cpu", precision="float64", fold=False)
    other = Ring(math.pi - 0.1).state_dict()
    seen: list[int] = []
    curve = train_curve(
        found, other, steps=400, batch_size=N, learning_rate=0.05, on_step=lambda step, _: seen.append(step)
    )
    assert seen == list(range(1, 401))
    t, settings = np.linspace(0, 1, 21), EvaluationSettings("float64", None, N)
    heights = {}
    for name, plane in (("straight", line_between(found, other)), ("curved", curve)):
        heights[name] = barriers(
            found, plane, surface(found, plane, axes=Axes(alpha=tuple(t)), evaluation=Evaluation(settings=settings))
        )["train"]["loss"]
    assert heights["straight"]["value"] == pytest.approx((math.sin(0.1) ** 2 - 1) ** 2, rel=1e-9)
    assert heights["curved"]["value"] < 0.1
    x, y = curve.at(0.5)["w"].tolist()
    assert (x, y) == (pytest.approx(0, abs=0.1), pytest.approx(1, abs=0.3))


def test_the_callers_model_and_random_numbers_stay() -> None:
    model, other = network(0), network(1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    train_curve(objective(model), other.state_dict(), steps=2, batch_size=4)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": math.nan}])
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(LandscapeError, match="expected all of them positive"):
        CurveSettings(**options)


def test_a_loss_that_diverges_is_said() -> None:
    found = Objective(Ring(0.1), lambda y, _: y / 0, INPUTS, LABELS, device="cpu", precision="float64", fold=False)
    with pytest.raises(LandscapeError, match=r"the loss on the curve became (inf|nan) in step 0; take a lower"):
        train_curve(found, Ring(2.0).state_dict(), steps=2)
