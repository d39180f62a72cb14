"""Points shared by workers: the values of one process to the bit, and a dead worker loses none."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases.surfaces import surface_in_parts
from cases.workers import PackedWorkers
from torch import nn

from landscape.analysis.objective import losses
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Request
from landscape.analysis.surfaces.levels import Levels
from landscape.analysis.surfaces.measuring import Measurer
from landscape.analysis.surfaces.multilevel.scheme import Scheme
from landscape.analysis.surfaces.surface import surface
from landscape.analysis.surfaces.task import SurfaceTask
from landscape.errors import LandscapeError, WorkerWarning
from landscape.execution import open as open_workers
from landscape.execution.payload import pack, unpack
from landscape.import_object import import_object

N = 40
X = torch.randn(N, 2, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(1))


MODULE = """
from torch import nn
class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
"""


def square(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.square().mean(1)


def network(kind: Any = None) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind is not None:
            return kind()
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def measurer(kind: Any = None, **options: Any) -> Measurer:
    options = {"calibration": 2 * X[:30] + 0.7, **options}  # neither the data nor a sample of them
    loss = options.pop("loss", "cross_entropy")
    targets = nn.functional.one_hot(Y, 3).float() if loss == "mse" else Y
    ready = [(X[i : i + 7] + 0.5, targets[i : i + 7]) for i in range(0, N, 7)]
    data = {"train": (X, targets), "test": ready}
    found = Objective(network(kind), loss, data, device="cpu", batchnorm="recalibrated", **options)
    plan = Scheme({"train": (N, 20, 10), "test": (N, 20, 10)}, 0)
    levels = Levels(found, plan, seed=0) if found.has_per_example_loss else None
    settings = EvaluationSettings("bfloat16", None, 16)
    return Measurer(found, random_plane(found), ("train", "test"), settings, gradient_norm=True, levels=levels)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_two_workers_give_the_values_of_one_process_and_the_death_of_one_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)  # a model of the user's own, imported by its path
    alone = measurer(import_object(f"{tmp_path / 'mine.py'}:Network"))
    requests = [Request(level, a, b) for level in (0, 1, 2) for a in (-1.0, 0.0, 0.5) for b in (0.0, 1.0)]
    expected = {
        (int(rows["level"][0]), *rows[["alpha", "beta"]][0].tolist()): rows.tobytes() for rows in alone(requests)
    }
    task = SurfaceTask(alone, threads=1)
    with open_workers(2) as workers:
        results = list(workers.map(task, requests))
        assert len(results) == len(requests)
        for rows in results:
            level = int(rows["level"][0])
            assert rows.tobytes() == expected[level, *rows[["alpha", "beta"]][0].tolist()]
        first, second = workers.processes
        os.kill(first, signal.SIGKILL)
        with pytest.warns(WorkerWarning, match=r"a worker died .* the other 1 repeat its tasks"):
            again = list(workers.map(task, requests))
        assert sorted(rows.tobytes() for rows in again) == sorted(expected.values())
        assert workers.processes == [second]
        os.kill(second, signal.SIGKILL)
        with pytest.raises(LandscapeError, match=r"the last worker died .* resume with fewer workers"):
            list(workers.map(task, requests))


def test_a_surface_does_not_depend_on_the_order_that_workers_answer_in() -> None:
    found = measurer().objective
    settings = EvaluationSettings("float32", None, 16)
    one = surface(found, points=(5, 3), evaluation=Evaluation(settings=settings))
    several = surface(found, points=(5, 3), evaluation=Evaluation(workers=PackedWorkers(3), settings=settings))
    assert several.points.tobytes() == one.points.tobytes()
    plane, done = random_plane(found), one.points[::-1][:16]
    half = surface_in_parts(found, plane, Axes((5, 3)), settings, workers=PackedWorkers(3), done=done)
    np.testing.assert_array_equal(np.sort(half.points), np.sort(one.points))


def sent(found: Measurer) -> Any:
    """Return what a worker makes of what it is sent, made in this process."""
    return unpack(*pack(SurfaceTask(found, threads=1)), "cpu")


@pytest.mark.parametrize(
    "options",
    [
        {"calibration": None, "calibration_examples": 13},
        {"calibration": 3 * X},
        {"metrics": {"right": losses.accuracy, "square": square}},
        {"loss": "mse", "metrics": {"accuracy": square}},
        {"loss": nn.functional.multi_margin_loss},
        {"params": "0.*", "fold": False, "batch_size": 9},
        {"precision": "float64"},
    ],
    ids=lambda options: ",".join(options),
)
def test_a_worker_has_all_that_decides_a_value(options: dict[str, Any]) -> None:
    alone = measurer(**options)
    there = sent(alone)
    assert there.metrics == alone.metrics
    for request in (Request(0, 0.5, 1.0), Request(2, -1.0, 0.0))[: 1 if alone.levels is None else 2]:
        assert there.rows(there.launch(request)).tobytes() == alone.rows(alone.launch(request)).tobytes()


def test_a_model_that_cannot_be_sent_to_a_process_is_one_line() -> None:
    local = measurer(preprocess=lambda x: x)
    with pytest.raises(LandscapeError, match="define it at the top of a module, or use one worker") as error:
        pack(SurfaceTask(local, threads=1))
    assert "\n" not in str(error.value)
