"""Scaling of work over workers: overheads measured here, and a simulation of more workers from them.

`python tests/benchmarks/scaling.py measure --engine processes` runs tasks of one second on 1 and 2 workers, and many
empty ones. `python tests/benchmarks/scaling.py simulate` plays a 101x101 surface of ResNet-50 on ImageNet's 50,000
validation images through the scheduler's rules on 8 to 1,024 GPUs, eight to a node.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import landscape.execution
from landscape.execution import workers as scheduler
from landscape.results import LineResult, points_table
from landscape.storage.result_file import ResultFile

POINTS = 101 * 101
IMAGES = 50_000
DATA_BYTES = IMAGES * 3 * 224 * 224 + 102e6  # uint8 images, and ResNet-50's weights in float32
GPUS_PER_NODE = 8


@dataclass(frozen=True, eq=False)
class Work:
    """Matrix products that take about so many seconds of CPU time; nothing sleeps."""

    seconds: float
    device: str = "cpu"
    threads: int = 1

    def __call__(self, requests: Iterable[int]) -> Iterator[float]:
        """Yield the wall time of each piece of work."""
        return (work(self.seconds) for _ in requests)

    def portable(self) -> Work:
        """Return itself."""
        return self

    def assemble(self, device: str) -> Callable[[Iterable[int]], Iterator[float]]:
        """Return itself."""
        return self


def work(cpu_seconds: float) -> float:
    """Compute for so many seconds of CPU time, and return the wall time that it took."""
    started, used = time.perf_counter(), time.process_time()
    matrix = torch.eye(128)
    while time.process_time() - used < cpu_seconds:
        matrix = matrix @ matrix
    return time.perf_counter() - started


def measure(engine: str, seconds: float, tasks: int) -> None:
    """Print the efficiency of 1 and 2 workers, and the driver's time per task."""
    print(f"{engine}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for count in (1, 2):
        started = time.perf_counter()
        with landscape.execution.open(count, engine) as workers:
            list(workers.map(Work(0.0), range(count)))
            ready = time.perf_counter()
            busy = sum(workers.map(Work(seconds), range(tasks)))
            wall = time.perf_counter() - ready
        print(
            f"{count} worker(s): ready after {ready - started:.1f} s; {tasks} tasks of {seconds:g} CPU seconds took "
            f"{wall:.1f} s, workers were busy {busy / (count * wall):.3f} of it"
        )
    scheduler.BRIEF = 0.0  # one request per call
    with landscape.execution.open(1, engine) as workers:
        task = Work(0.0)
        list(workers.map(task, range(10)))
        started, used = time.perf_counter(), time.process_time()
        list(workers.map(task, range(1000)))
        cpu = (time.process_time() - used) / 1000
        print(
            f"per task: {(time.perf_counter() - started):.2f} ms of wall time, {1000 * cpu:.2f} ms of the driver's CPU"
        )
    print(f"per journal entry: {1000 * journal_seconds():.2f} ms")


def journal_seconds(entries: int = 200) -> float:
    """Return the median seconds of appending a point to the journal."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder, ResultFile(Path(folder) / "scaling.h5") as file:
        file.begin("mine/line", LineResult(np.arange(3.0), ("val",), ("loss",), points_table([]), {}, finished=False))
        for number in range(entries):
            rows = points_table([(float(number), 0.0, 0, 0, 1.0, 0.1, 100, 0)])
            started = time.perf_counter()
            file.append(rows)
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


@dataclass(frozen=True)
class Cluster:
    """Times of a simulated run, in seconds and bytes per second."""

    point: float = 5.0  # of one pass over the images on one GPU: 10,000 images/s
    spread: float = 0.02  # relative, of points
    driver: float = 0.0006  # of the driver's CPU per task on Ray, as `measure` found it
    journal: float = 0.00001  # per result, likewise
    latency: float = 0.001  # from a worker to the driver and back
    start: float = 15.0  # of a worker: imports, CUDA
    bandwidth: float = 1.25e9  # of a node's network, 10 Gbit/s
    load: float = 2.0  # of the images to a GPU


def simulate(workers: int, cluster: Cluster, *, travels: bool = True) -> tuple[float, float]:
    """Return the seconds until the surface is done, and those in which the driver was busy.

    One driver handles results one after another. Nodes that have the data serve them to others, as Ray's object store
    does: their number doubles in the time of one transfer.
    """
    transfer = DATA_BYTES / cluster.bandwidth if travels else 0.0
    generator = np.random.default_rng(0)
    durations = cluster.point * (1 + cluster.spread * generator.standard_normal(POINTS))
    handling = cluster.driver + cluster.journal
    rounds = [np.ceil(np.log2(worker // GPUS_PER_NODE + 2)) for worker in range(workers)]
    events = [(cluster.start + each * transfer + cluster.load, False) for each in rounds]  # time, with a result?
    heapq.heapify(events)
    given, free, busy, end = 0, 0.0, 0.0, 0.0
    while events:
        when, has_result = heapq.heappop(events)  # a worker is ready, or has finished a point
        spent = handling if has_result else cluster.driver
        free = max(when + cluster.latency / 2, free) + spent
        busy += spent
        end = free if has_result else end
        if given < POINTS:
            heapq.heappush(events, (free + cluster.latency / 2 + durations[given], True))
            given += 1
    return end, busy


def print_simulation(cluster: Cluster) -> None:
    """Print how long the surface takes on more and more workers, and what bounds it."""
    print(f"{POINTS} points of {cluster.point:g} s, {DATA_BYTES / 1e9:.1f} GB per node, driver and journal "
          f"{1000 * (cluster.driver + cluster.journal):.1f} ms per point")  # fmt: skip
    alone = POINTS * cluster.point
    print(f"{'workers':>8}{'nodes':>7}{'data travel':>14}{'efficiency':>12}{'data on nodes':>15}{'efficiency':>12}"
          f"{'driver busy':>13}")  # fmt: skip
    for workers in (8, 16, 32, 64, 128, 256, 512, 1024):
        end, busy = simulate(workers, cluster)
        local, _ = simulate(workers, cluster, travels=False)
        print(
            f"{workers:>8}{-(-workers // GPUS_PER_NODE):>7}{end:>12.0f} s{alone / workers / end:>12.2f}"
            f"{local:>13.0f} s{alone / workers / local:>12.2f}{busy / end:>13.1%}"
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measured = commands.add_parser("measure")
    measured.add_argument("--engine", default="processes", choices=["processes", "ray"])
    measured.add_argument("--seconds", type=float, default=1.0)
    measured.add_argument("--tasks", type=int, default=20)
    simulated = commands.add_parser("simulate")
    for name, default in vars(Cluster()).items():
        simulated.add_argument(f"--{name}", type=float, default=default)
    options = vars(parser.parse_args())
    if options.pop("command") == "measure":
        measure(**options)
    else:
        print_simulation(Cluster(**options))


if __name__ == "__main__":
    main()
