"""Protocols of execution: what a task states, and what an engine does.

This module imports only the standard library, since every new process imports it before it watches its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

R_co = TypeVar("R_co", covariant=True)
Q_contra = TypeVar("Q_contra", contravariant=True)


class Portable(Protocol[Q_contra, R_co]):
    """Parts of a task that can be pickled, on the CPU."""

    def assemble(self, device: str) -> Callable[[Iterable[Q_contra]], Iterable[R_co]]:
        """Return the task's function in a worker, with its state on this device."""
        ...


class Task(Protocol[Q_contra, R_co]):
    """A function of requests with the state it needs, which workers keep from the first request to the last.

    A result may depend on nothing but the request and that state: a request whose worker was lost is repeated.
    """

    @property
    def device(self) -> str:
        """Device of the state: "cpu", "cuda", ..."""
        ...

    @property
    def threads(self) -> int:
        """Threads of torch that each worker computes with."""
        ...

    def __call__(self, requests: Iterable[Q_contra]) -> Iterable[R_co]:
        """Yield the result of each request in order, computed in this process."""
        ...

    def portable(self) -> Portable[Q_contra, R_co]:
        """Return the parts that a worker assembles the task from."""
        ...


class WorkerHandle(Protocol):
    """One worker of an engine: calls functions in order."""

    @property
    def process_id(self) -> int | None:
        """Identifier of its process, if that runs on this machine."""
        ...

    @property
    def ready(self) -> Future[Any] | None:
        """Greeting of a worker that is still to be placed; None if it can be called."""
        ...

    def greet(self, hello: Any) -> None:
        """Check the greeting of a new worker."""
        ...

    def revive(self) -> bool:
        """Start a new worker in place of a lost one, if the engine does; return True if it will be `ready`."""
        ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in the worker; a lost worker fails the future, or raises."""
        ...

    def device(self, kind: str) -> str:
        """Return the name of this worker's own device of a kind ("cpu", "cuda", "mps")."""
        ...

    def lost(self, error: BaseException) -> str | None:
        """Return the reason in words if an error means that the worker is lost; None for another error."""
        ...


class Engine(Protocol):
    """A way to run workers."""

    @property
    def destination(self) -> str:
        """The place that a task's parts are sent to once: "worker" or "node"."""
        ...

    def threads(self, count: int) -> int:
        """Return the number of torch's threads that suits each of so many workers."""
        ...

    def start(self, count: int, device: str, threads: int) -> Sequence[WorkerHandle]:
        """Start workers for tasks of this device and number of threads."""
        ...

    def share(self, task: Task[Any, Any]) -> tuple[Any, Any]:
        """Return a task's header and parts, as arguments of `serving.load`."""
        ...

    def broadcast(self, request: Any) -> Any:
        """Return a request as an argument of `serving.answer_one`, for many workers."""
        ...

    def per_machine(self, count: int) -> int:
        """Return the largest number of so many workers that share a machine's memory."""
        ...

    def stop(self) -> None:
        """End all workers at once, whatever they are doing."""
        ...
