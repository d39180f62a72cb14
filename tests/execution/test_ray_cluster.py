"""A Ray cluster of two nodes on this machine: nothing is lost with a worker or a node, and values stay the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import driver
from cases.tasks import About, Breaking, Dying, Simple, Squares
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError, WorkerWarning
from landscape.execution import Workers, ray_cluster
from landscape.execution import open as open_workers
from landscape.execution.ray_cluster import _actor_class, check_packages, threads_that_fit
from landscape.execution.user_modules import is_user_module
from landscape.import_object import import_object
from landscape.workflow.reporter import Quiet

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(600)  # starting processes that import torch is slow on a busy machine

MODULE = """
from blocks import Block
from torch import nn
class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), Block(8, 6), nn.Linear(6, 3))
"""
BLOCKS = """
from torch import nn
class Block(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.inner = nn.Linear(before, after)
    def forward(self, x):
        return self.inner(x).tanh()
"""
MEMORY = 80 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=MEMORY, include_dashboard=False)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def workers(cluster: Any) -> Iterator[Workers]:
    with open_workers(2, "ray", address=cluster.address) as workers:
        yield workers


def test_what_does_not_fit_or_is_missing_is_one_line(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_workers(1, "ray", address=cluster.address) as workers:
        with pytest.raises(LandscapeError, match=r"each worker takes 64 CPUs, and the largest of 2 nodes has 1 CPUs"):
            list(workers.map(Simple(Squares(), threads=64), [1]))
        with pytest.raises(LandscapeError, match="each worker takes 1 CPUs and 1 GPU"):
            list(workers.map(Simple(Squares(), device="cuda"), [1]))
        monkeypatch.setitem(ray_cluster.PACKAGES, "no_such_package", "no-such-package")
        with pytest.raises(LandscapeError, match="lacks the package no_such_package; install no-such-package=="):
            list(workers.map(Simple(Squares()), [1]))


@pytest.mark.slow
def test_a_driver_killed_in_the_middle_loses_no_point(cluster: Any, tmp_path: Path) -> None:
    shared = str(tmp_path / "shared.h5")
    words = [sys.executable, "-W", "ignore", driver.__file__, shared, "ray", cluster.address]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(40):
            assert process.stdout.readline() == driver.STORED
        process.kill()
    counted = Counted()
    resumed = driver.measure(shared, "ray", cluster.address, reporter=counted)
    assert 0 < counted.points <= driver.POINTS - 40
    alone = driver.measure(str(tmp_path / "alone.h5"))
    assert resumed.points.tobytes() == alone.points.tobytes()
    assert len(alone.points) >= driver.POINTS


class Counted(Quiet):
    """Counts the points that are measured."""

    points = 0

    @contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Any]:
        def advance(*_: Any, **__: Any) -> None:
            self.points += 1

        yield advance


def test_surfaces_are_those_of_one_process_and_a_users_code_travels(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "blocks.py").write_text(BLOCKS)
    torch.manual_seed(0)
    model: nn.Module = import_object(f"{tmp_path / 'mine.py'}:Network")()
    x, y = torch.randn(30, 2, 4), torch.randint(0, 3, (30,))
    objective = Objective(model, "cross_entropy", x, y, device="cpu", metrics={"margin": margin})
    settings = EvaluationSettings("float32", None, 16, threads=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = surface(objective, points=(7, 5), evaluation=Evaluation(settings=settings))
    torch.set_num_threads(threads)
    for file in ("mine.py", "blocks.py"):
        (tmp_path / file).unlink()  # as on a node of another machine
    result = surface(objective, points=(7, 5), evaluation=Evaluation(workers=workers, settings=settings))
    assert result.points.tobytes() == expected.points.tobytes()
    assert result.attributes["threads"] == 1


def margin(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs.amax(1) - outputs.mean(1)


def test_a_failure_is_told_with_its_traceback(workers: Workers) -> None:
    with pytest.raises(LandscapeError, match=r"a worker failed: KeyError: 9 \(tasks.py, line \d+\)") as failure:
        list(workers.map(Simple(Breaking()), [0, 1, 9]))
    assert "in root" in failure.value.__notes__[0]


def test_a_killed_worker_and_a_removed_node_lose_nothing(cluster: Any, workers: Workers, tmp_path: Path) -> None:
    first = set(workers.processes)
    assert {about["process"] for about in workers.map(Simple(About()), range(40))} <= first
    with pytest.warns(WorkerWarning, match="a worker was lost .* its tasks are repeated"):
        results = list(workers.map(Simple(Dying(tmp_path / "died")), range(9)))
    assert sorted(results) == [10 * x for x in range(9)]
    assert set(workers.processes) != first  # a new one in its place

    (second,) = cluster.worker_nodes
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    with pytest.warns(WorkerWarning, match="a worker was lost"):
        results = list(remove_after(10, workers.map(Simple(Slow()), range(60)), lambda: cluster.remove_node(second)))
    assert sorted(results) == [x + 1 for x in range(60)]


def remove_after(count: int, results: Iterator[Any], remove: Any) -> Iterator[Any]:
    for number, result in enumerate(results, start=1):
        if number == count:
            remove()
        yield result


class Slow:
    def assemble(self, device: str) -> Any:
        return lambda requests: (slow(x) for x in requests)


def slow(x: int) -> int:
    """Return x + 1 after some work of a tenth of a second."""
    matrix = torch.eye(300)
    for _ in range(60):
        matrix = matrix @ matrix
    return x + int(matrix[0, 0])


def test_a_cluster_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(LandscapeError, match=r"no Ray cluster can be reached at '127\.0\.0\.1:1': .*refused") as error:
        open_workers(2, "ray")
    assert "\n" not in str(error.value)


def test_versions_are_compared() -> None:
    here = _actor_class().versions(("landscape", "torch"))
    check_packages("10.0.0.2", here, here)
    with pytest.raises(LandscapeError, match=r"node 10.0.0.2 of the cluster has torch 1.0, this process has 2\..*same"):
        check_packages("10.0.0.2", {**here, "torch": "1.0"}, here)
    with pytest.raises(LandscapeError, match=r"lacks the package torch; install torch==2\."):
        check_packages("10.0.0.2", {**here, "torch": None}, here)


def test_the_users_own_modules_are_told_from_installed_ones() -> None:
    import json

    import numpy

    import landscape

    for module in (json, numpy, torch, landscape, os):
        assert not is_user_module(module.__name__, module)
    assert is_user_module(__name__, sys.modules[__name__])


@pytest.mark.parametrize(("cpus", "count", "threads"), [([16], 4, 4), ([8, 8], 3, 4), ([2, 6], 4, 2), ([], 3, 1)])
def test_threads_of_workers_fit_the_nodes(cpus: list[int], count: int, threads: int) -> None:
    assert threads_that_fit(cpus, count) == threads
