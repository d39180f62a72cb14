"""The monitor: what it leaves untouched, what it measures, and how it is stored and resumed."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.preconditioned import adam_state, preconditioned_eigenpair
from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError
from landscape.monitoring.measures.protocol import Reading
from landscape.monitoring.monitor import Monitor, MonitorWarning, step_rule
from landscape.storage.loading import load


class Net(nn.Module):
    """BatchNorm and dropout: buffers, a mode and random numbers that a probe could disturb."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 36, 3)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 1, 8, 8, generator=generator), torch.randint(0, 3, (24,), generator=generator)


def problem(data, optimizer=lambda p: torch.optim.Adam(p, lr=0.01)):
    torch.manual_seed(0)
    model = Net()
    return model, optimizer(model.parameters()), Objective(model, "cross_entropy", *data, device="cpu")


def train(model, optimizer, data, steps, *, monitor=None, first=1):
    readings = {}
    for step in range(first, first + steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data[0]), data[1]).backward()
        optimizer.step()
        if monitor is not None:
            readings[step] = monitor.step(step, model, optimizer)
    return readings


def states():
    return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


@pytest.mark.parametrize("optimizer", [lambda p: torch.optim.Adam(p, lr=0.01), lambda p: torch.optim.SGD(p, lr=0.1)])
def test_a_monitored_run_equals_one_without_to_the_bit(data, optimizer):
    plain, plain_optimizer, _ = problem(data, optimizer)
    train(plain, plain_optimizer, data, 6)
    after = states()
    model, own, objective = problem(data, optimizer)
    train(model, own, data, 6, monitor=Monitor(objective, every=2))
    assert states() == after
    assert model.training
    assert all(module.training for module in model.modules())
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    for p, q in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
        for key, value in plain_optimizer.state.get(p, {}).items():
            assert torch.equal(value, own.state[q][key]) if torch.is_tensor(value) else value == own.state[q][key]


def test_the_monitor_reads_within_no_grad_evaluation_and_autocast_too(data):
    model, optimizer, objective = problem(data)
    model.eval()
    expected = Monitor(objective, every=1).step(1, model, optimizer)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        readings = Monitor(objective, every=1).step(1, model, optimizer)
    assert readings == pytest.approx(expected, nan_ok=True, rel=1e-6)
    assert not model.training


def test_readings_are_those_of_the_weights_of_their_step(data):
    model, optimizer, objective = problem(data)
    monitor = Monitor(objective, every=3)
    train(model, optimizer, data, 6, monitor=monitor)
    assert monitor.result.position.tolist() == [3, 6]
    here = Objective(model, "cross_entropy", *data, device="cpu")
    exact = hessian(here, top=1)
    bound = monitor.result.error("lambda_max")[-1] + exact.bounds[0]
    assert monitor.result.series("lambda_max")[-1] == pytest.approx(exact.eigenvalues[0], abs=bound)
    loss, gradient = here.gradient()
    assert monitor.result.series("train_loss")[-1] == pytest.approx(loss, rel=1e-6)
    norm = sum(float(g.double().square().sum()) for g in gradient.values()) ** 0.5
    assert monitor.result.series("gradient_norm")[-1] == pytest.approx(norm, rel=1e-5)


def test_the_preconditioned_eigenvalue_is_read_for_adam_alone(data):
    model, optimizer, objective = problem(data)
    monitor = Monitor(objective, every=2, measures=["preconditioned_lambda_max"])
    train(model, optimizer, data, 4, monitor=monitor)
    here = Objective(model, "cross_entropy", *data, device="cpu")
    state = adam_state(optimizer, dict(model.named_parameters()))
    exact = float(preconditioned_eigenpair(here, state, tolerance=1e-5).values[0])
    assert monitor.result.series("preconditioned_lambda_max")[-1] == pytest.approx(exact, rel=0.02)
    model, optimizer, objective = problem(data, lambda p: torch.optim.SGD(p, lr=0.1))
    monitor = Monitor(objective, every=1, measures=["preconditioned_lambda_max"])
    assert set(monitor.step(1, model, optimizer)) == {"learning_rate", "edge"}


def test_probes_survive_a_kill_and_a_resumed_run_replaces_those_it_takes_again(data, tmp_path):
    model, optimizer, objective = problem(data)
    monitor = Monitor(objective, every=2, measures=["gradient_norm"], file=tmp_path / "run.h5")
    train(model, optimizer, data, 4, monitor=monitor)
    checkpoint = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    train(model, optimizer, data, 4, monitor=monitor, first=5)
    whole = load(tmp_path / "run.h5")["run/dynamics"]  # as a kill leaves it: nothing was closed
    assert whole.position.tolist() == [2, 4, 6, 8]

    resumed = checkpoint[0]
    other = torch.optim.Adam(resumed.parameters(), lr=0.01)
    other.load_state_dict(checkpoint[1])
    again = Monitor(objective, every=2, measures=["gradient_norm"], file=tmp_path / "run.h5")
    train(resumed, other, data, 2, monitor=again, first=5)
    stored = load(tmp_path / "run.h5")["run/dynamics"]
    assert stored.position.tolist() == [2, 4, 6]
    np.testing.assert_array_equal(stored.series("gradient_norm")[:2], whole.series("gradient_norm")[:2])


def test_a_stored_run_of_other_measures_is_refused(data, tmp_path):
    model, optimizer, objective = problem(data)
    Monitor(objective, every=1, measures=["sam"], file=tmp_path / "run.h5").step(1, model, optimizer)
    with pytest.raises(LandscapeError, match="of other measures or settings; give Monitor another name or file"):
        Monitor(objective, every=2, measures=["sam"], file=tmp_path / "run.h5")
    with pytest.raises(LandscapeError, match="expected a measure among lambda_max, sam"):
        Monitor(objective, measures=["sharpnes"])
    with pytest.raises(LandscapeError, match="every = 0"):
        Monitor(objective, every=0)


def test_a_measure_of_ones_own_is_stored_and_its_warning_reported_once(data):
    class Ratio:
        name, needs_previous = "ratio", False

        def parameters(self):
            return {"scale": 2}

        def read(self, probe, memory):
            memory["count"] = memory.get("count", 0) + 1
            return [Reading("ratio", float(memory["count"]), warning="the ratio is off")]

    model, optimizer, objective = problem(data)
    monitor = Monitor(objective, every=1, measures=[Ratio()])
    with pytest.warns(MonitorWarning, match="step 1: the ratio is off"):
        monitor.step(1, model, optimizer)
    monitor.step(2, model, optimizer)
    assert monitor.result.series("ratio").tolist() == [1, 2]
    assert monitor.result.attributes["settings"]["measures"] == [{"name": "ratio", "scale": 2}]
    assert len(monitor.result.attributes["warnings"]) == 2


def test_a_compiled_or_distributed_model_is_unwrapped(data):
    model, optimizer, objective = problem(data)

    class DistributedDataParallel(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    monitor = Monitor(objective, every=1, measures=["gradient_norm"])
    plain = monitor.step(1, model, optimizer)
    assert monitor.step(2, DistributedDataParallel(model), optimizer) == plain
    assert monitor.step(3, nn.ModuleDict({"_orig_mod": model}), optimizer) == plain
    with pytest.raises(LandscapeError, match=r"one module that has the objective's parameters .*, got 0 in Linear"):
        monitor.step(4, nn.Linear(2, 2), optimizer)
    with pytest.raises(LandscapeError, match="got 2 in ModuleList"):
        monitor.step(4, nn.ModuleList([model, copy.deepcopy(model)]), optimizer)


@pytest.mark.parametrize(
    ("optimizer", "edge"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1), 20),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), 38),
        (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), 38 / 2.8),
        (lambda p: torch.optim.AdamW(p, lr=0.1), 380),
    ],
)
def test_the_edge_is_where_the_optimizer_turns_unstable_on_a_quadratic(optimizer, edge):
    """On λ/2 w² with Adam's preconditioner frozen, steps shrink just below the edge and grow just above it."""
    rule = step_rule(optimizer([nn.Parameter(torch.ones(1))]))
    assert rule.edge(0.1) == pytest.approx(edge)
    for factor, stable in ((0.99, True), (1.01, False)):
        w, before, gradient = 1.0, 0.0, 0.0
        for _ in range(4000):
            gradient = factor * edge * w
            if rule.method == "adam":
                before = rule.momentum * before + (1 - rule.momentum) * gradient
                step = before
            else:
                before = rule.momentum * before + gradient
                step = gradient + rule.momentum * before if rule.method == "nesterov" else before
            w -= 0.1 * step
            if abs(w) > 1e6:
                break
        assert (abs(w) < 1) is stable
