"""Workers: one interface to spread a task's requests over this process, other processes, or a cluster.

This module imports only the standard library, since every new process imports it before it watches its parent.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from landscape.errors import LandscapeError, WorkerWarning
from landscape.execution import serving
from landscape.execution.protocol import Engine, Task, WorkerHandle

Request = TypeVar("Request")
Result = TypeVar("Result")

BRIEF = 0.1  # seconds: a worker gets more requests at once as long as they take less
LONG = 1.0  # seconds: requests that take longer are not sent ahead, since another worker may be free first
MAX_LOSSES = 3  # workers that may be lost with the same request
PATIENCE = 60.0  # seconds without any worker before a warning


class Workers:
    """Workers of one engine, as a context manager; they start with the first task and keep their state between calls.

    Made by `open`.
    """

    def __init__(self, count: int, engine: Engine | None) -> None:
        self.count = count
        self._engine = engine
        self._workers: list[_Worker] = []
        self._tasks: dict[int, tuple[Task[Any, Any], tuple[Any, Any]]] = {}  # by key, with what `Engine.share` returned
        self._keys = itertools.count()

    @property
    def is_inline(self) -> bool:
        """True if tasks run in this process."""
        return self._engine is None

    @property
    def threads(self) -> int:
        """Number of torch's threads that suits each worker."""
        if self._engine is not None:
            return self._engine.threads(self.count)
        import torch

        return torch.get_num_threads()

    @property
    def processes(self) -> list[int]:
        """Identifiers of the workers' processes, as far as they are alive and run on this machine."""
        return [worker.handle.process_id for worker in self._workers if worker.handle.process_id is not None]

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.clear()
        self._tasks.clear()
        if self._engine is not None:
            self._engine.stop()

    @property
    def destination(self) -> str:
        """The place that a task's parts are sent to once: "worker" or "node"."""
        return "worker" if self._engine is None else self._engine.destination

    @property
    def per_machine(self) -> int:
        """Largest number of workers that share the memory of one machine."""
        return 1 if self._engine is None else self._engine.per_machine(self.count)

    def map(self, task: Task[Request, Result], requests: Iterable[Request]) -> Iterator[Result]:
        """Yield the result of each request as it comes, in any order.

        Requests of a lost worker are repeated by the others. What was sent to the workers for another task is freed.

        Raises:
            LandscapeError: if the task cannot be sent, a request fails in a worker (the traceback is a note of the
                error), or the last worker is lost.
        """
        if self._engine is None:
            yield from task(requests)
            return
        (key,) = self._share([task], self._engine)
        queue = deque(_Request(number, key, request) for number, request in enumerate(requests))
        if queue:
            self._start(task, self._engine)
            for _, result in _Run(self._workers, self._tasks, queue).results():
                yield result

    def gather(self, tasks: Sequence[Task[Request, Result]], request: Request) -> list[Result]:
        """Return the result of one request from each of several tasks, in their order.

        Each task is held by one worker, from its first request on; another one takes it over if that is lost. The
        request is sent to each machine once.

        Raises:
            LandscapeError: as `map` does.
        """
        if self._engine is None:
            return [result for task in tasks for result in task([request])]
        keys = self._share(tasks, self._engine)
        self._start(tasks[0], self._engine)
        sent = self._engine.broadcast(request)
        queue = deque(_Request(number, key, sent) for number, key in enumerate(keys))
        results = dict(_Run(self._workers, self._tasks, queue, gathers=True).results())
        return [results[number] for number in range(len(tasks))]

    def _start(self, task: Task[Any, Any], engine: Engine) -> None:
        if not self._workers:
            kind = task.device.partition(":")[0]
            self._workers = [_Worker(handle) for handle in engine.start(self.count, kind, task.threads)]

    def _share(self, tasks: Sequence[Task[Any, Any]], engine: Engine) -> list[int]:
        """Return the keys of tasks, shared with the workers; all others are forgotten."""
        known = {id(task): key for key, (task, _) in self._tasks.items()}
        keys = [known[id(task)] if id(task) in known else next(self._keys) for task in tasks]
        for other in set(self._tasks) - set(keys):
            del self._tasks[other]
        for key, task in zip(keys, tasks, strict=True):
            if key not in self._tasks:
                self._tasks[key] = task, engine.share(task)
        return keys


@dataclass(eq=False)
class _Worker:
    handle: WorkerHandle
    loaded: set[int] = field(default_factory=set)  # keys of the tasks whose state it holds


class _Request(NamedTuple):
    number: int
    key: int  # of its task
    content: Any


class _Call(NamedTuple):
    """A call that a worker has been given: the loading of a task, or some of its requests."""

    worker: _Worker
    key: int  # of the task
    requests: tuple[_Request, ...]  # none: loading


class _Run:
    """One `map` or `gather`: requests in a queue, and calls under way."""

    def __init__(
        self,
        workers: list[_Worker],
        tasks: dict[int, tuple[Task[Any, Any], tuple[Any, Any]]],
        queue: deque[_Request],
        *,
        gathers: bool = False,
    ) -> None:
        self._workers, self._tasks, self._queue, self._gathers = workers, tasks, queue, gathers
        self._waits = gathers  # for workers that are still to be placed, to hold their share of the tasks
        self._calls: dict[Future[Any], _Call] = {}
        self._losses: Counter[int] = Counter()  # of each request
        self._size, self._seconds = 1, LONG  # requests of the next call, seconds of the last

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield the number of each request and its result, as they come."""
        try:
            while self._queue or any(call.requests for call in self._calls.values()):
                self._feed()
                starting = {worker.handle.ready: worker for worker in self._workers if worker.handle.ready is not None}
                done = wait({*self._calls, *starting}, PATIENCE, FIRST_COMPLETED).done
                if not done and len(starting) == len(self._workers):
                    _warn(f"no worker yet: the cluster has no room for any of {len(starting)}; waiting for it")
                self._waits = self._waits and bool(done)
                for future in done:
                    if future in starting:
                        self._greet(starting[future], future)
                    elif future in self._calls:  # else of a worker that is lost
                        yield from self._finish(future)
        finally:
            for future in self._calls:
                future.cancel()

    def _feed(self) -> None:
        """Give each worker a call, and then a second one if calls are brief, so that it never waits for the next."""
        ahead = 2 if self._seconds < LONG else 1
        for limit in range(1, ahead + 1):
            for worker in list(self._workers):
                given = sum(call.worker is worker and bool(call.requests) for call in self._calls.values())
                if given < limit and worker.handle.ready is None:
                    self._give(worker, self._next(worker))

    def _next(self, worker: _Worker) -> tuple[_Request, ...]:
        """Remove from the queue, and return, the requests that a worker gets next."""
        if not self._gathers:
            share = len(self._queue) // (2 * len(self._workers))
            size = min(max(1, min(self._size, share)), len(self._queue))
            return tuple(self._queue.popleft() for _ in range(size))
        held = set().union(*(other.loaded for other in self._workers if other is not worker))
        owned = len(worker.loaded & set(self._tasks))
        may_take = owned < math.ceil(len(self._tasks) / len(self._workers)) or not self._waits
        for request in self._queue:
            if request.key in worker.loaded or (request.key not in held and may_take):
                self._queue.remove(request)
                return (request,)
        return ()

    def _give(self, worker: _Worker, requests: tuple[_Request, ...]) -> None:
        """Send requests to a worker, and their task before the first of them."""
        if not requests:
            return
        key = requests[0].key
        try:
            if key not in worker.loaded:
                task, shared = self._tasks[key]
                device = worker.handle.device(task.device)
                future = worker.handle.submit(serving.load, key, *shared, device, tuple(self._tasks))
                self._calls[future] = _Call(worker, key, ())
                worker.loaded = (worker.loaded & set(self._tasks)) | {key}
            if self._gathers:
                future = worker.handle.submit(serving.answer_one, key, requests[0].content)
            else:
                future = worker.handle.submit(serving.answer, key, tuple(request.content for request in requests))
            self._calls[future] = _Call(worker, key, requests)
        except Exception as error:
            self._queue.extendleft(reversed(requests))
            self._drop(worker, error)

    def _finish(self, future: Future[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the results of a finished call; raise if a request failed."""
        call = self._calls[future]
        try:
            outcome: serving.Outcome = future.result()
        except Exception as error:
            self._drop(call.worker, error)
            return
        del self._calls[future]
        if outcome.failure is not None:
            if not call.requests:
                call.worker.loaded.discard(call.key)
            raise outcome.failure
        if call.requests:
            self._seconds = outcome.seconds
            if outcome.seconds < BRIEF:
                self._size = max(self._size, 2 * len(call.requests))
            elif outcome.seconds > 2 * BRIEF:
                self._size = max(1, len(call.requests) // 2)
            yield from zip((request.number for request in call.requests), outcome.value, strict=True)

    def _greet(self, worker: _Worker, future: Future[Any]) -> None:
        """Take a worker that has started."""
        try:
            hello = future.result()
        except Exception as error:
            self._drop(worker, error)
            return
        worker.handle.greet(hello)

    def _drop(self, worker: _Worker, error: Exception) -> None:
        """Put the requests of a lost worker back, and replace it if the engine does.

        Raises:
            LandscapeError: if it was the last, or a request was lost too often; any error but that of a lost worker is
                raised again.
        """
        reason = worker.handle.lost(error)
        if reason is None:
            raise error
        lost = [future for future, call in self._calls.items() if call.worker is worker]
        requests = [request for future in lost for request in self._calls.pop(future).requests]
        self._queue.extendleft(reversed(requests))
        self._losses.update(request.number for request in requests[:1])  # it was working on the first
        often = any(count >= MAX_LOSSES for count in self._losses.values())
        worker.loaded.clear()
        if not often and worker.handle.revive():
            _warn(f"a worker was lost ({reason}); its tasks are repeated")
            return
        self._workers.remove(worker)
        if often or not self._workers:
            which = f"{MAX_LOSSES} workers died at one task" if often else "the last worker died"
            raise LandscapeError(
                f"{which} ({reason}), perhaps for lack of memory; what was finished is kept, resume with fewer workers"
            ) from error
        _warn(f"a worker died ({reason}); the other {len(self._workers)} repeat its tasks")


def _warn(message: str) -> None:
    warnings.warn(message, WorkerWarning, stacklevel=2)
