"""Batches in streams: on a CPU several run side by side, each on its share of the threads.

The threads of one operator wait for each other at its end, a hundred times a pass; those of different batches do not.
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

MOST_STREAMS = 4  # each holds the activations of a batch

_here = threading.local()


def in_streams(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device, *, most: int = MOST_STREAMS
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in order; what does not fill all streams is left to all threads together.

    `work` must not rely on what a thread has to itself (gradient mode, `TorchFunctionMode`); torch's global switches
    hold in all streams. With one stream, and on other devices than a CPU, it runs in the caller's thread.
    """
    streams = count_streams(device, most)
    if streams < 2:
        yield from map(work, items)
        return
    pool = _pool(streams, torch.get_num_threads() // streams)
    left = iter(items)
    pending: deque[Future[Result]] = deque()

    def oldest() -> Result:
        result = pending[0].result()  # still pending where Ctrl-C comes in between
        pending.popleft()
        return result

    try:
        while len(group := list(islice(left, streams))) == streams:
            for item in group:
                while len(pending) > streams:
                    yield oldest()
                pending.append(pool.submit(work, item))
        while pending:
            yield oldest()
        yield from map(work, group)
    finally:
        for future in pending:
            future.cancel()
        wait(pending)


def count_streams(device: torch.device, most: int = MOST_STREAMS) -> int:
    """Return how many streams there are: as many, up to `most`, as leave the fewest threads without work."""
    if device.type != "cpu" or in_a_stream():
        return 1
    threads = torch.get_num_threads()
    return max(range(1, min(threads, most) + 1), key=lambda streams: (threads // streams * streams, streams))


def in_a_stream() -> bool:
    """Return whether this thread is one of a stream's."""
    return getattr(_here, "in_a_stream", False)


@lru_cache
def _pool(streams: int, threads: int) -> ThreadPoolExecutor:
    """Return threads that each compute with a number of threads of their own."""

    def begin() -> None:
        _here.in_a_stream = True
        torch.get_num_threads()  # torch gives a thread its number when it is first asked for, over what was set before
        torch.set_num_threads(threads)

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(streams, "landscape-stream", initializer=begin)
    together = threading.Barrier(streams)
    list(pool.map(lambda _: together.wait(60), range(streams)))  # starts all of them
    torch.set_num_threads(before)  # what threads that are started later begin with
    return pool
