"""Points shared out over processes of one machine, on CUDA one per GPU; one process, the caller's, keeps the results.

A worker makes the objective anew from what it was made of, and computes with a stated number of threads, so that its
values are those of a single process with as many. One that dies takes only its point with it, which goes to another.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import pickle
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any

import torch

from landscape.analysis.objective.data.nested import map_tensors
from landscape.analysis.objective.model.model_copy import deep_copy
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Plane
from landscape.analysis.surfaces.levels import Levels
from landscape.analysis.surfaces.measuring import Measurer, Pending, Points, Request
from landscape.errors import LandscapeError
from landscape.execution.allocator import tune_allocator
from landscape.execution.lifeline import call_while_parent_lives

AHEAD = 2  # points sent to a worker at once, so that it never waits for the next
USER_MODULES = "landscape_user_"  # what modules imported from a file by its path are called


@contextmanager
def shared_out(
    measurer: Measurer, workers: int, *, threads: int
) -> Iterator[Callable[[Iterable[Request]], Iterator[Points]]]:
    """Yield what measures points: the measurer itself, or several workers that do as it would.

    Raises:
        LandscapeError: for fewer than one worker, and what `Pool` raises.
    """
    if workers < 1:
        raise LandscapeError(f"got {workers} workers; expected at least 1")
    if workers == 1:
        yield measurer
        return
    with Pool(measurer, workers, threads=threads) as pool:
        yield pool


class Pool:
    """Workers that measure points as one `Measurer` would, as a context manager.

    Args:
        measurer: what they are to measure; it stays usable.
        workers: how many.
        threads: of each.

    Raises:
        LandscapeError: for more workers than GPUs, or a model, loss or data that cannot be sent to another process.
    """

    def __init__(self, measurer: Measurer, workers: int, *, threads: int) -> None:
        self._devices = _devices(measurer.objective.device, workers)
        self.payload = pickle.dumps(_packed(measurer, threads))
        self._ahead = AHEAD + measurer.in_flight
        self._workers: dict[Connection, SpawnProcess] = {}
        self._given: dict[Connection, deque[Request]] = {}

    @property
    def processes(self) -> list[int]:
        """Identifiers of the workers that are alive."""
        return [process.pid for process in self._workers.values() if process.pid is not None]

    def __enter__(self) -> Pool:
        context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not survive a fork
        for device in self._devices:
            here, there = context.Pipe()
            process = context.Process(
                target=call_while_parent_lives, args=(__name__, _serve.__name__, there, device), daemon=True
            )
            with _deaf():
                process.start()
            there.close()  # so that the death of the worker closes the pipe
            self._workers[here], self._given[here] = process, deque()
        for connection in list(self._workers):  # once all are starting, since this waits for each to be ready
            try:
                connection.send_bytes(self.payload)
            except OSError:
                self._bury(connection, deque())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection, process in self._workers.items():
            connection.close()
            process.terminate()
            process.join()

    def __call__(self, requests: Iterable[Request]) -> Iterator[Points]:
        """Yield each request's rows, as they come."""
        todo = deque(requests)
        while todo or any(self._given.values()):
            for connection in list(self._workers):
                self._feed(connection, todo)
            for ready in wait([connection for connection, given in self._given.items() if given]):
                assert isinstance(ready, Connection)
                try:
                    answer = ready.recv()
                except (EOFError, OSError):
                    self._bury(ready, todo)
                    continue
                if isinstance(answer, LandscapeError):
                    raise answer
                self._given[ready].popleft()
                yield answer

    def _feed(self, connection: Connection, todo: deque[Request]) -> None:
        given = self._given[connection]
        try:
            while todo and len(given) < self._ahead:
                connection.send(todo[0])
                given.append(todo.popleft())
        except OSError:
            self._bury(connection, todo)

    def _bury(self, connection: Connection, todo: deque[Request]) -> None:
        """Take a dead worker off the list, and its points back."""
        process = self._workers.pop(connection)
        todo.extendleft(reversed(self._given.pop(connection)))
        connection.close()
        process.join()
        if not self._workers:
            raise LandscapeError(
                f"the last worker died (exit status {process.exitcode}), perhaps for lack of memory; "
                "what was finished is kept, go on with fewer workers"
            )
        warnings.warn(
            f"a worker died (exit status {process.exitcode}); the other {len(self._workers)} go on with its points",
            RuntimeWarning,
            stacklevel=4,
        )


@dataclass(frozen=True)
class _Parts:
    """Parts of a measurer, on the CPU."""

    objective: Mapping[str, Any]
    plane: Plane
    measurer: Mapping[str, Any]
    levels: Mapping[str, Any] | None
    threads: int
    switches: Mapping[str, Any]  # torch's own, see `_switches`

    def assembled(self, device: str) -> Measurer:
        objective = Objective(**{**self.objective, "device": device})
        levels = None if self.levels is None else Levels(objective, **self.levels)
        return Measurer(objective, _moved(self.plane, objective.device), **self.measurer, levels=levels)


def _packed(measurer: Measurer, threads: int) -> tuple[list[str], dict[str, str], bytes]:
    """Return the folders and files that modules are found in, and the pickled parts."""
    levels = measurer.levels
    parts = _Parts(
        _parts(measurer.objective),
        _moved(measurer.plane, torch.device("cpu")),
        {name: getattr(measurer, name) for name in ("splits", "settings", "gradient_norm")},
        None if levels is None else {"scheme": levels.scheme, "seed": levels.seed},
        threads,
        _switches(),
    )
    try:
        pickled = pickle.dumps(parts)
    except Exception as error:  # whatever the user's objects raise
        reason = " ".join(str(error).split())
        raise LandscapeError(
            f"workers are processes of their own, and this cannot be sent to one: {reason}; define it at the top of a "
            "module, or use one worker"
        ) from error
    files = {name: str(m.__file__) for name, m in sys.modules.items() if name.startswith(USER_MODULES)}
    return list(sys.path), files, pickled


def _parts(objective: Objective) -> dict[str, Any]:
    """Return the arguments that make an objective again, on the CPU."""
    return {
        "model": deep_copy(objective.network.module).cpu(),
        "loss": objective.given_loss,
        "data": {split: objective.source(split) for split in objective.splits},
        "metrics": objective.own_metrics,
        "params": objective.params,
        "batchnorm": objective.batchnorm,
        "calibration_examples": objective.calibration_examples,
        "calibration": map_tensors(lambda t: t.cpu(), objective.calibration),
        "precision": objective.precision,
        "batch_size": objective.batch_size,
        "preprocess": next(iter(objective.data.values())).preprocess,
        "fold": objective.is_folded,
    }


def _switches() -> dict[str, Any]:
    """Return the settings of torch that decide about values: a new process starts with the defaults."""
    return {
        "dtype": torch.get_default_dtype(),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
    }


def _switch(switches: Mapping[str, Any]) -> None:
    torch.set_default_dtype(switches["dtype"])
    torch.set_float32_matmul_precision(switches["matmul"])
    torch.use_deterministic_algorithms(switches["deterministic"], warn_only=switches["warn_only"])


def _moved(plane: Plane, device: torch.device) -> Plane:
    names = ("origin", "directions", "endpoint_buffers")
    moved = {name: map_tensors(lambda t: t.to(device), getattr(plane, name)) for name in names}
    return replace(plane, **moved)


def _devices(device: torch.device, workers: int) -> list[str]:
    if device.type != "cuda":
        return [str(device)] * workers
    if workers > torch.cuda.device_count():
        raise LandscapeError(f"got {workers} workers for {torch.cuda.device_count()} GPUs; expected one for each")
    return [f"cuda:{number}" for number in range(workers)]


@contextmanager
def _deaf() -> Iterator[None]:
    """Within this context new processes ignore Ctrl-C from their first moment: the one with the results decides."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change what a signal does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, device: str) -> None:
    """Answer requests with rows, in order, until the pipe closes: the life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it was started from another thread
    try:
        measurer = _unpacked(pickle.loads(connection.recv_bytes()), device)
        pending: deque[Pending] = deque()
        while True:
            while pending and (len(pending) > measurer.in_flight or not connection.poll()):
                connection.send(measurer.rows(pending.popleft()))
            pending.append(measurer.launch(connection.recv()))
    except (EOFError, OSError):  # the other end is gone
        return
    except LandscapeError as error:
        connection.send(error)
    except (Exception, SystemExit) as error:
        connection.send(LandscapeError(f"a worker failed: {type(error).__name__}: {' '.join(str(error).split())}"))


def _unpacked(payload: tuple[list[str], dict[str, str], bytes], device: str) -> Measurer:
    folders, files, pickled = payload
    sys.path[:] = folders
    for name, file in files.items():
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    tune_allocator()
    parts: _Parts = pickle.loads(pickled)  # from the process that started this one
    torch.set_num_threads(parts.threads)
    _switch(parts.switches)
    return parts.assembled(device)
