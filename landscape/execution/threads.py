"""Parallel batches: several at once on a CPU, each in a thread with its share of torch's threads.

The threads of one operator wait for each other at its end, a hundred times per forward pass; those of different batches
do not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_PARALLEL_BATCHES = 4  # each holds the activations of a batch

_thread = threading.local()


def map_batches(
    function: Callable[[Item], Result],
    batches: Iterable[Item],
    device: torch.device,
    *,
    limit: int = MAX_PARALLEL_BATCHES,
) -> Iterator[Result]:
    """Yield `function(batch)` for each batch, in order, with up to `limit` batches computed at once on a CPU.

    The last batches, if too few to occupy all worker threads, run in the caller's thread on all of torch's threads.
    So does every batch on other devices, and if only one batch is to run at a time. `function` must not rely on
    thread-local state (gradient mode, `TorchFunctionMode`); torch's global switches hold in all threads.

    >>> list(map_batches(lambda x: x * x, range(5), torch.device("cpu")))
    [0, 1, 4, 9, 16]
    """
    parallel = count_parallel_batches(device, limit)
    if parallel < 2:
        yield from map(function, batches)
        return
    pool = _pool(parallel, torch.get_num_threads() // parallel)
    remaining = iter(batches)
    pending: deque[Future[Result]] = deque()

    def oldest() -> Result:
        result = pending[0].result()  # stays pending if Ctrl-C interrupts the wait
        pending.popleft()
        return result

    try:
        while len(group := list(islice(remaining, parallel))) == parallel:
            for batch in group:
                while len(pending) > parallel:
                    yield oldest()
                pending.append(pool.submit(function, batch))
        while pending:
            yield oldest()
        yield from map(function, group)
    finally:
        for future in pending:
            future.cancel()
        wait(pending)


def count_parallel_batches(device: torch.device, limit: int = MAX_PARALLEL_BATCHES) -> int:
    """Return the number of batches to run concurrently (at most `limit`), so that the fewest CPU threads stay idle."""
    if device.type != "cpu" or in_worker_thread():
        return 1
    threads = torch.get_num_threads()
    return max(range(1, min(threads, limit) + 1), key=lambda parallel: (threads // parallel * parallel, parallel))


def in_worker_thread() -> bool:
    """Return True if this is a worker thread of `map_batches`."""
    return getattr(_thread, "is_worker", False)


@lru_cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Return a pool of worker threads, each of which computes with `threads` threads of torch."""

    def initialize() -> None:
        _thread.is_worker = True
        torch.get_num_threads()  # torch initializes a thread's number at the first query, overwriting an earlier one
        torch.set_num_threads(threads)

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "landscape-batch", initializer=initialize)
    all_started = threading.Barrier(workers)
    list(pool.map(lambda _: all_started.wait(60), range(workers)))
    torch.set_num_threads(before)  # the number that threads started later begin with
    return pool
