"""Workers as processes of this machine: an executor of one process each, so that one that dies leaves the others."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from landscape.errors import LandscapeError
from landscape.execution import serving
from landscape.execution.protocol import Task


class Processes:
    """Processes of this machine, on CUDA one per GPU."""

    destination = "worker"

    def __init__(self) -> None:
        self._handles: list[_Process] = []

    def threads(self, count: int) -> int:
        """Return the threads of this process, divided."""
        import torch

        return max(1, torch.get_num_threads() // count)

    def start(self, count: int, device: str, threads: int) -> Sequence[_Process]:
        """Start processes.

        Raises:
            LandscapeError: for more of them than GPUs.
        """
        if device == "cuda":
            import torch

            if count > torch.cuda.device_count():
                raise LandscapeError(f"got {count} workers for {torch.cuda.device_count()} GPUs; expected one for each")
        with _interrupts_ignored():
            self._handles = [_Process(number) for number in range(count)]
        return self._handles

    def share(self, task: Task[Any, Any]) -> tuple[Any, Any]:
        """Return the task's header and parts, pickled once for all processes."""
        from landscape.execution.payload import pack

        return pack(task)

    def broadcast(self, request: Any) -> Any:
        """Return the request as it is."""
        return request

    def per_machine(self, count: int) -> int:
        """Return their number."""
        return count

    def stop(self) -> None:
        """Kill all processes."""
        for handle in self._handles:
            handle.process.terminate()
        for handle in self._handles:
            handle.executor.shutdown(cancel_futures=True)
            handle.process.join()


class _Process:
    """One process; it can be called at once, and is not replaced when it dies, perhaps for lack of memory."""

    ready = None

    def __init__(self, number: int) -> None:
        self._number = number
        context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not survive a fork
        self.executor = ProcessPoolExecutor(1, context, initializer=serving.begin)
        before = set(multiprocessing.active_children())
        self.executor.submit(int)  # starts the process
        (self.process,) = set[BaseProcess](multiprocessing.active_children()) - before

    @property
    def process_id(self) -> int | None:
        """Identifier of the process."""
        return self.process.pid

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in the process."""
        return self.executor.submit(function, *arguments)

    def device(self, kind: str) -> str:
        """Return the device; each process has a GPU of its own."""
        return f"cuda:{self._number}" if kind.startswith("cuda") else kind

    def greet(self, hello: Any) -> None:
        """Check nothing: it is of this machine."""

    def revive(self) -> bool:
        """Start no other process: there may be too little memory for as many."""
        return False

    def lost(self, error: BaseException) -> str | None:
        """Return the exit status if the process ended."""
        if not isinstance(error, BrokenExecutor):
            return None
        self.process.join()
        return f"exit status {self.process.exitcode}"


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let new processes ignore Ctrl-C from their first moment; the parent, which holds the results, decides."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change what a signal does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
