"""Workers: one interface to spread a task's requests over this process, other processes, or a cluster.

This module imports only the standard library, since every new process imports it before it watches its parent.
"""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from landscape.errors import LandscapeError
from landscape.execution import serving
from landscape.execution.protocol import Engine, Lane, Task

Request = TypeVar("Request")
Result = TypeVar("Result")

BRIEF = 0.1  # seconds: a worker gets more requests at once as long as they take less
LONG = 1.0  # seconds: requests that take longer are not sent ahead, since another worker may be free first


@dataclass(eq=False)
class _Worker:
    lane: Lane
    loaded: set[int] = field(default_factory=set)  # keys of the tasks whose state it holds


@dataclass(frozen=True)
class _Call:
    """A call that a worker has been given: the loading of a task, or some of its requests."""

    worker: _Worker
    key: int
    requests: tuple[Any, ...]  # none: loading


class Workers:
    """Workers of one engine, as a context manager; they start with the first task and keep their state between calls.

    Made by `open`.
    """

    def __init__(self, count: int, engine: Engine | None) -> None:
        self.count = count
        self._engine = engine
        self._workers: list[_Worker] = []
        self._tasks: dict[int, tuple[Task[Any, Any], Any]] = {}  # by key, with what `Engine.share` made of them
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
        """Identifiers of the workers' processes that are alive, as far as they run on this machine."""
        return [worker.lane.process_id for worker in self._workers if worker.lane.process_id is not None]

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.clear()
        self._tasks.clear()
        if self._engine is not None:
            self._engine.stop()

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
        key = self._key(task)
        for other in set(self._tasks) - {key}:
            del self._tasks[other]
        yield from self._run(key, deque(requests), self._engine)

    def _key(self, task: Task[Any, Any]) -> int:
        for key, (known, _) in self._tasks.items():
            if known is task:
                return key
        assert self._engine is not None
        key = next(self._keys)
        self._tasks[key] = task, self._engine.share(task)
        return key

    def _run(self, key: int, queue: deque[Any], engine: Engine) -> Iterator[Any]:
        task = self._tasks[key][0]
        if queue and not self._workers:
            kind = task.device.partition(":")[0]
            self._workers = [_Worker(lane) for lane in engine.start(self.count, kind, task.threads)]
        calls: dict[Future[Any], _Call] = {}
        size, seconds = 1, LONG
        try:
            while queue or calls:
                ahead = 2 if seconds < LONG else 1
                for _ in range(ahead):  # one for each worker before the second of any
                    for worker in list(self._workers):
                        given = sum(call.worker is worker and bool(call.requests) for call in calls.values())
                        if queue and given < ahead:
                            share = len(queue) // (2 * len(self._workers))
                            self._give(worker, key, queue, max(1, min(size, share)), calls)
                for future in wait(calls, return_when=FIRST_COMPLETED).done:
                    call = calls.pop(future, None)
                    if call is None:  # of a worker that is lost
                        continue
                    try:
                        outcome = future.result()
                    except Exception as error:
                        self._bury(call.worker, error, queue, {future: call, **calls})
                        calls = {f: other for f, other in calls.items() if other.worker is not call.worker}
                        continue
                    if outcome.failure is not None:
                        raise outcome.failure
                    if call.requests:
                        seconds = outcome.seconds
                        size = 2 * size if seconds < BRIEF else max(1, size // 2) if seconds > 2 * BRIEF else size
                        yield from outcome.value
        finally:
            for future in calls:
                future.cancel()

    def _give(self, worker: _Worker, key: int, queue: deque[Any], size: int, calls: dict[Future[Any], _Call]) -> None:
        """Send the next requests to a worker, and the task before the first of them."""
        requests: tuple[Any, ...] = ()
        try:
            if key not in worker.loaded:
                task, parts = self._tasks[key]
                device = worker.lane.device(task.device)
                future = worker.lane.submit(serving.load, key, parts, device, tuple(self._tasks))
                calls[future] = _Call(worker, key, ())
                worker.loaded = (worker.loaded & set(self._tasks)) | {key}
            requests = tuple(queue.popleft() for _ in range(size))
            calls[worker.lane.submit(serving.answer, key, requests)] = _Call(worker, key, requests)
        except Exception as error:
            queue.extendleft(reversed(requests))
            self._bury(worker, error, queue, calls)
            for future in [future for future, call in calls.items() if call.worker is worker]:
                del calls[future]

    def _bury(self, worker: _Worker, error: Exception, queue: deque[Any], calls: dict[Future[Any], _Call]) -> None:
        """Remove a lost worker, and put its requests back.

        Raises:
            LandscapeError: if it was the last; any other error than that of a lost worker is raised again.
        """
        reason = worker.lane.lost(error)
        if reason is None:
            raise error
        self._workers.remove(worker)
        mine = [call.requests for call in calls.values() if call.worker is worker]
        queue.extendleft(reversed([request for requests in mine for request in requests]))
        if not self._workers:
            raise LandscapeError(
                f"the last worker died ({reason}), perhaps for lack of memory; what was finished is kept, resume with "
                "fewer workers"
            ) from error
        warnings.warn(
            f"a worker died ({reason}); the other {len(self._workers)} repeat its tasks", RuntimeWarning, stacklevel=4
        )
