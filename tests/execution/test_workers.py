"""Workers: every result once, those of lost workers repeated, and failures told with their traceback."""

import importlib
import os
import signal
import sys
import types
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from cases.tasks import About, Breaking, Dying, Simple, Squares

from landscape.errors import LandscapeError, WorkerWarning
from landscape.execution import Workers, count_workers, serving, use
from landscape.execution import open as open_workers
from landscape.execution.payload import pack, unpack
from landscape.execution.processes import Processes, _Process


class InThisProcess:
    """An engine that calls the worker's side in this process, so that its paths can be followed."""

    destination = "worker"

    def __init__(self) -> None:
        self.handles: list[Any] = []
        self.calls: list[tuple[int, int]] = []

    def threads(self, count: int) -> int:
        return 1

    def start(self, count: int, device: str, threads: int) -> list[Any]:
        self.handles = [_FakeHandle(self, number) for number in range(count)]
        return self.handles

    def share(self, task: Any) -> Any:
        return pack(task)

    def broadcast(self, request: Any) -> Any:
        return request

    def per_machine(self, count: int) -> int:
        return count

    def stop(self) -> None:
        self.handles = []


class _FakeHandle:
    process_id = ready = None

    def greet(self, hello: Any) -> None:
        pass

    def revive(self) -> bool:
        return False

    def __init__(self, engine: InThisProcess, number: int) -> None:
        self.engine, self.number = engine, number
        self.dies_at: int | None = None

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if function is serving.answer:
            self.engine.calls += [(self.number, request) for request in arguments[1]]
            if self.dies_at in arguments[1]:
                future.set_exception(ConnectionError())
                return future
        if function is serving.answer_one:
            self.engine.calls.append((self.number, arguments[0]))
            if self.dies_at == arguments[1]:
                future.set_exception(ConnectionError())
                return future
        future.set_result(function(*arguments))
        return future

    def device(self, kind: str) -> str:
        return kind

    def lost(self, error: BaseException) -> str | None:
        return "it was unplugged" if isinstance(error, ConnectionError) else None


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    threads, folders = torch.get_num_threads(), list(__import__("sys").path)
    yield
    torch.set_num_threads(threads)
    __import__("sys").path[:] = folders
    serving._tasks.clear()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_request_is_answered_once(count: int) -> None:
    engine = InThisProcess()
    with Workers(count, engine) as workers:
        for constant in (0, 7):
            results = list(workers.map(Simple(Squares(constant)), range(100)))
            assert sorted(results) == [(x, x * x + constant) for x in range(100)]
    assert {handle for handle, _ in engine.calls} == set(range(count))


def test_only_the_state_of_the_current_task_is_kept() -> None:
    with Workers(1, InThisProcess()) as workers:
        first, second = Simple(Squares(1)), Simple(Squares(2))
        assert list(workers.map(first, [2])) == [(2, 5)]
        made = serving._tasks[0]
        assert list(workers.map(first, [3])) == [(3, 10)]
        assert serving._tasks == {0: made}  # not assembled again
        assert list(workers.map(second, [3])) == [(3, 11)]
        assert set(serving._tasks) == {1}
        assert list(workers.map(second, [])) == []


def test_requests_of_a_lost_worker_are_repeated_by_the_others() -> None:
    engine = InThisProcess()
    with Workers(3, engine) as workers:
        task = Simple(Squares())
        list(workers.map(task, [1]))
        engine.handles[1].dies_at = 3
        with pytest.warns(WorkerWarning, match=r"a worker died \(it was unplugged\); the other 2 repeat its tasks"):
            results = list(workers.map(task, [0, 3, 1, 2]))
        assert sorted(results) == [(x, x * x) for x in range(4)]
        engine.handles[0].dies_at = engine.handles[2].dies_at = 5
        with (
            pytest.warns(WorkerWarning, match="the other 1"),
            pytest.raises(LandscapeError, match=r"the last worker died .* resume with fewer workers"),
        ):
            list(workers.map(task, [5]))


def test_brief_requests_are_sent_together_and_the_last_are_shared() -> None:
    sizes: list[int] = []

    class Noting(InThisProcess):
        def start(self, count: int, device: str, threads: int) -> list[Any]:
            handles = super().start(count, device, threads)
            for handle in handles:
                submit = handle.submit

                def noting(function: Any, *arguments: Any, submit: Any = submit) -> Future[Any]:
                    if function is serving.answer:
                        sizes.append(len(arguments[1]))
                    return submit(function, *arguments)

                handle.submit = noting
            return handles

    with Workers(2, Noting()) as workers:
        list(workers.map(Simple(Squares()), range(4000)))
    assert sizes[0] == 1
    assert max(sizes) > 50
    assert sizes[-1] == 1
    assert len(sizes) < 200


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (9, r"a worker failed: KeyError: 9 \(tasks.py, line \d+\)"),
        (-1, "expected a number of at least 0, got -1"),
        (-2, "got 1 and 2"),
        (-3, "a worker failed: SystemExit: no more"),
    ],
)
def test_a_broken_request_is_told_in_one_line_with_its_traceback(request_: int, message: str) -> None:
    with Workers(2, InThisProcess()) as workers:
        with pytest.raises(LandscapeError, match=message) as failure:
            list(workers.map(Simple(Breaking()), [0, 1, request_]))
        assert "\n" not in str(failure.value)
        notes = "".join(getattr(failure.value, "__notes__", ()))
        assert ("in root" in notes) == (request_ in (9, -3))
        assert list(workers.map(Simple(Breaking()), [4])) == [2]  # the workers stay usable


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_of_several_tasks_stays_with_one_worker(count: int) -> None:
    engine = InThisProcess()
    tasks = [Simple(Squares(constant)) for constant in (0, 10, 20)]
    with Workers(count, engine) as workers:
        for x in (1, 2):
            assert workers.gather(tasks, x) == [(x, x * x), (x, x * x + 10), (x, x * x + 20)]
        assert len(set(engine.calls)) == 3  # the second request went to the same workers
        assert len({worker for worker, _ in engine.calls}) == count
        if count == 3:
            engine.handles[1].dies_at = 5
            with pytest.warns(WorkerWarning, match="the other 2 repeat its tasks"):
                assert workers.gather(tasks, 5) == [(5, 25), (5, 35), (5, 45)]
            assert workers.gather(tasks, 6) == [(6, 36), (6, 46), (6, 56)]
        assert list(workers.map(tasks[0], [3])) == [(3, 9)]
        with pytest.raises(LandscapeError, match="a worker failed: KeyError: 9"):
            workers.gather([Simple(Breaking()), *tasks], 9)
    assert open_workers().gather(tasks, 1) == [(1, 1), (1, 11), (1, 21)]


def test_an_error_of_the_engine_itself_is_raised() -> None:
    class Faulty(_FakeHandle):
        def submit(self, function: Any, *arguments: Any) -> Future[Any]:
            raise RuntimeError("no such function")

    engine = InThisProcess()
    with Workers(1, engine) as workers:
        list(workers.map(Simple(Squares()), [1]))
        engine.handles[0].__class__ = Faulty
        with pytest.raises(RuntimeError, match="no such function"):
            list(workers.map(Simple(Squares(1)), [1]))


def test_torch_s_own_settings_go_with_a_task() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        payload = pack(Simple(About(), threads=1))
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        (about,) = unpack(*payload, "cpu")([0])
        assert (about["dtype"], about["matmul"], about["threads"]) == (torch.float64, "medium", 1)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")


def test_settings_of_convolutions_go_with_a_task_and_mixed_precisions_do_not_stop_it() -> None:
    cudnn = torch.backends.cudnn
    cudnn.benchmark, cudnn.deterministic = True, True
    torch.backends.cuda.matmul.fp32_precision = "tf32"  # torch then refuses to read its older switch
    try:
        payload = pack(Simple(Squares()))
        cudnn.benchmark, cudnn.deterministic = False, False
        assert list(unpack(*payload, "cpu")([2])) == [(2, 4)]
        assert (cudnn.benchmark, cudnn.deterministic) == (True, True)
    finally:
        cudnn.benchmark, cudnn.deterministic = False, False
        torch.backends.cuda.matmul.fp32_precision = "none"


def test_each_worker_has_a_gpu_of_its_own_and_makes_it_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with pytest.raises(LandscapeError, match="got 3 workers for 2 GPUs; expected one for each"):
        Processes().start(3, "cuda", 1)
    handle = object.__new__(_Process)
    handle._number = 1
    device = handle.device("cuda:0")
    (about,) = unpack(*pack(Simple(About())), device)([0])
    assert about["device"] == "cuda:1"
    assert chosen == ["cuda:1"]


def test_what_cannot_be_opened_is_refused() -> None:
    with pytest.raises(LandscapeError, match="got 0 workers; expected at least 1"):
        open_workers(0)
    with pytest.raises(LandscapeError, match="got 2 workers for the inline engine"):
        open_workers(2, "inline")
    with pytest.raises(LandscapeError, match="unknown engine 'mpi'"):
        open_workers(2, "mpi")  # type: ignore[arg-type]


def test_inline_calls_the_task_itself() -> None:
    task = Simple(Squares())
    with open_workers() as workers:
        assert workers.is_inline
        assert workers.processes == []
        assert list(workers.map(task, [3, 1])) == [(3, 9), (1, 1)]
        with use(workers) as same:
            assert same is workers
        assert (count_workers(workers), count_workers(4)) == (1, 4)


def ignores_ctrl_c(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    if not status.exists():  # not on Linux
        return True
    ignored = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_processes_survive_the_death_of_one_and_end_with_the_context(tmp_path: Path) -> None:
    with open_workers(2) as workers:
        assert workers.processes == []  # they start with the first task
        (about,) = workers.map(Simple(About(), threads=3), [0])
        started = workers.processes
        assert len(started) == 2
        assert about["process"] in started
        assert (about["threads"], about["ignores Ctrl-C"]) == (3, True)
        assert all(ignores_ctrl_c(process) for process in started)  # also while they start
        with pytest.warns(WorkerWarning, match=r"a worker died \(exit status -9\); the other 1 repeat its tasks"):
            results = list(workers.map(Simple(Dying(tmp_path / "died")), range(9)))
        assert sorted(results) == [10 * x for x in range(9)]
        (left,) = workers.processes
        with pytest.raises(LandscapeError, match="a worker failed: KeyError: 9") as failure:
            list(workers.map(Simple(Breaking()), [9]))
        assert "in root" in failure.value.__notes__[0]
    with pytest.raises(ProcessLookupError):
        os.kill(left, 0)


def test_a_users_module_that_is_gone_does_not_matter_to_a_task_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "landscape_user_gone_0"
    module = types.ModuleType(name)
    module.__file__ = str(tmp_path / "gone.py")
    monkeypatch.setitem(sys.modules, name, module)
    payload = pack(Simple(Squares()))
    assert list(unpack(*payload, "cpu")([2])) == [(2, 4)]
    (tmp_path / "gone.py").write_text("x = 7")
    monkeypatch.delitem(sys.modules, name)
    assert importlib.import_module(name).x == 7  # as unpickling imports it
