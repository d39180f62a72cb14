"""Workers as actors of a Ray cluster: on its nodes' CPUs and GPUs, or on this machine if no cluster is named.

A task's parts go to the object store, hence to each node once. Code that is not installed travels along, pickled by
value. A worker that is lost with its node is started again wherever the cluster has room.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from landscape.errors import LandscapeError
from landscape.execution.protocol import Task
from landscape.execution.user_modules import user_modules_by_value

PACKAGES = {"landscape": "landscape-toolkit", "torch": "torch"}  # every node needs the driver's version of these
LOCAL = "local"
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Node:
    """Resources of an alive node."""

    cpus: int
    gpus: int


class RayCluster:
    """A connection to a Ray cluster.

    Args:
        address: of the cluster, such as "auto" or "10.0.0.1:6379"; the environment's RAY_ADDRESS if None, or without
            it a cluster of this machine alone, which ends with this object.

    Raises:
        LandscapeError: if Ray is not installed, or the cluster cannot be reached.
    """

    destination = "node"

    def __init__(self, address: str | None = None) -> None:
        self._ray = _import_ray()
        self._owns = not self._ray.is_initialized()
        self._actors: list[_Actor] = []
        if self._owns:
            self._connect(address or os.environ.get("RAY_ADDRESS") or LOCAL)

    def _connect(self, address: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
        try:
            _check_reachable(address)
            self._ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:  # RayError: no valid token
            reason = " ".join(str(error).split())
            raise LandscapeError(
                f"no Ray cluster can be reached at {address!r}: {reason[:300]}; start one with ray start --head, or "
                "leave out the address for this machine"
            ) from error

    @property
    def nodes(self) -> list[Node]:
        """The alive nodes."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return [Node(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in alive]

    def threads(self, count: int) -> int:
        """Return the largest number of CPUs of which so many workers fit the nodes, at least 1."""
        return threads_that_fit([node.cpus for node in self.nodes], count)

    def start(self, count: int, device: str, threads: int) -> Sequence[_Actor]:
        """Start actors; they become ready as the cluster finds room for them.

        Raises:
            LandscapeError: if no node could ever hold one.
        """
        gpus = int(device == "cuda")
        nodes = self.nodes
        if not any(node.cpus >= threads and node.gpus >= gpus for node in nodes):
            most = max(nodes, key=lambda node: (node.gpus >= gpus, node.cpus), default=Node(0, 0))
            asked = f"{threads} CPUs" + (" and 1 GPU" if gpus else "")
            raise LandscapeError(
                f"each worker takes {asked}, and the largest of {len(nodes)} nodes has {most.cpus} CPUs and "
                f"{most.gpus} GPUs; expected a node with room for one: fewer threads per worker, another --device, or "
                "larger nodes"
            )
        options = {"num_cpus": threads, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
        kind = self._ray.remote(_actor_class()).options(**options)
        self._actors = [_Actor(self._ray, kind) for _ in range(count)]
        return self._actors

    def share(self, task: Task[Any, Any]) -> tuple[Any, Any]:
        """Return the task's header, and its parts in the object store."""
        import numpy as np

        from landscape.execution.payload import pack

        with user_modules_by_value(self._ray.cloudpickle):
            header, parts = pack(task, self._ray.cloudpickle.dumps)
        return header, self._ray.put(np.frombuffer(parts, np.uint8))

    def broadcast(self, request: Any) -> Any:
        """Return the request in the object store."""
        return self._ray.put(request)

    def per_machine(self, count: int) -> int:
        """Return the number of workers on a node if they are spread evenly."""
        return -(-count // max(1, len(self.nodes)))

    def stop(self) -> None:
        """Kill the actors, and disconnect."""
        for actor in self._actors:
            actor.kill()
        if self._owns:
            self._ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check that something listens at HOST:PORT, since Ray itself tries for many minutes; other forms are left to Ray.

    Raises:
        OSError: if nothing does within `CONNECT_SECONDS`.
    """
    host, separator, port = address.rpartition(":")
    if separator and port.isdecimal() and "//" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


class _Actor:
    """One worker, which is started anew when it is lost."""

    def __init__(self, ray: Any, kind: Any) -> None:
        self._ray, self._kind = ray, kind
        self._start()

    def _start(self) -> None:
        self.process_id: int | None = None
        self._actor = self._kind.remote()
        self.ready: Future[Any] | None = self._actor.hello.remote(tuple(PACKAGES)).future()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function in the actor."""
        future: Future[Any] = self._actor.call.remote(function, *arguments).future()
        return future

    def device(self, kind: str) -> str:
        """Return the device; Ray lets each actor see its own GPU only."""
        return "cuda:0" if kind.startswith("cuda") else kind

    def greet(self, hello: Mapping[str, Any]) -> None:
        """Check a new actor's packages.

        Raises:
            LandscapeError: if its node lacks one, or has another version.
        """
        check_packages(hello["node"], hello["versions"], _actor_class().versions(tuple(PACKAGES)))
        self.ready = None
        self.process_id = hello["process"] if hello["node"] == self._ray.util.get_node_ip_address() else None

    def lost(self, error: BaseException) -> str | None:
        """Return the reason if the actor or its node ended."""
        lost = self._ray.exceptions
        if not isinstance(
            error, (lost.RayActorError, lost.ObjectLostError, lost.NodeDiedError, lost.WorkerCrashedError)
        ):
            return None
        return str(error).strip().splitlines()[0].rstrip(".")

    def revive(self) -> bool:
        """Start a new actor in its place."""
        self.kill()
        self._start()
        return True

    def kill(self) -> None:
        """End the actor."""
        self._ray.kill(self._actor)


def _actor_class() -> type[Any]:
    """Return the actor's class, local so that it is pickled by value: a node may lack this very package."""

    class Worker:
        @staticmethod
        def versions(packages: Sequence[str]) -> dict[str, str | None]:

            there = {name: importlib.util.find_spec(name) is not None for name in packages}
            return {
                name: str(importlib.import_module(f"{name}.version").__version__) if there[name] else None
                for name in packages
            }

        def hello(self, packages: Sequence[str]) -> dict[str, Any]:
            import os
            import signal

            ray: Any = importlib.import_module("ray")
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            node = ray.util.get_node_ip_address()
            return {"node": node, "process": os.getpid(), "versions": self.versions(packages)}

        def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
            return function(*arguments)

    return Worker


def check_packages(node: str, found: Mapping[str, str | None], expected: Mapping[str, str | None]) -> None:
    """Check the packages of a node.

    Raises:
        LandscapeError: if one is missing, or has another version, whose values could differ.
    """
    for name, version in expected.items():
        if found[name] is None:
            raise LandscapeError(
                f"node {node} of the cluster lacks the package {name}; install {PACKAGES[name]}=={version} there"
            )
        if found[name] != version:
            raise LandscapeError(
                f"node {node} of the cluster has {name} {found[name]}, this process has {version}; expected the same "
                "version for the same values"
            )


def threads_that_fit(cpus: Sequence[int], count: int) -> int:
    """Return the largest number of CPUs of which `count` workers fit the nodes, at least 1.

    >>> threads_that_fit([8, 8], 2), threads_that_fit([8, 8], 3), threads_that_fit([4], 9)
    (8, 4, 1)
    """
    fits = [t for t in range(1, max(cpus, default=1) + 1) if sum(n // t for n in cpus) >= count]
    return max(fits, default=1)


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise LandscapeError("the engine ray needs Ray; pip install 'landscape-toolkit[ray]'") from error
