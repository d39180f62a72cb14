"""The GPU day's own measurements: what the card can do at most, and where the time of our three loops goes."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, choose_settings
from landscape.analysis.surfaces.grids.grid import Request
from landscape.analysis.surfaces.measuring import Measurer
from landscape.data import Dataset, load_dataset
from landscape.models import build
from landscape.training import TrainConfig, train

BATCH = 10_000  # images of a pass
TOP = 10  # kernels
GAPS = 5  # longest gaps between kernels
LAUNCHES = ("cudaLaunch", "cudaGraphLaunch", "cuLaunch")

Found = dict[str, Any]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def best_seconds(run: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """Return the shortest of some runs, after one that warms up."""
    run()
    best = float("inf")
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best


def make_objective(dataset: Dataset, device: torch.device) -> Objective:
    """Return the loss of a fresh ResNet-20 on all training images; speed does not depend on the weights."""
    torch.manual_seed(0)
    model = build("resnet20", num_classes=len(dataset.classes), in_channels=dataset.input_shape[0])
    train_split = dataset.splits["train"]
    return Objective(
        model, "cross_entropy", train_split.inputs, train_split.labels, device=device, preprocess=dataset.preprocess
    )


def copy_bandwidth(device: torch.device, *, tiny: bool) -> float:
    """Return bytes per second of a copy on the device, those read and those written."""
    source = torch.ones((1 << 16) if tiny else (1 << 32), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_seconds(lambda: target.copy_(source), device)


def matrix_rate(device: torch.device, *, tiny: bool) -> float:
    """Return operations per second of a product of two bfloat16 matrices."""
    n = 64 if tiny else 8192
    a, b = (torch.randn(n, n, device=device).to(torch.bfloat16) for _ in range(2))  # zeros would run faster
    result = torch.empty_like(a)
    return 2 * n**3 / best_seconds(lambda: torch.mm(a, b, out=result), device)


def plain_pass(dataset: Dataset, device: torch.device) -> float:
    """Return the seconds of a plain bfloat16 pass of ResNet-20 over the training images."""
    model = build("resnet20", num_classes=len(dataset.classes), in_channels=dataset.input_shape[0]).eval()
    model = model.to(device, torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = dataset.preprocess(dataset.splits["train"].inputs.to(device))
    batches = images.to(torch.bfloat16, memory_format=torch.channels_last).split(BATCH)

    @torch.no_grad()
    def run() -> Tensor:
        return torch.stack([model(batch).float().logsumexp(1).sum() for batch in batches])

    return best_seconds(run, device)


def measure_floors(name: str, data: str, out: Path, *, tiny: bool) -> None:
    """Write floors.json: copy bandwidth, bf16 matrix rate, and passes over the training images."""
    device = torch.device(name)
    found: Found = {"torch": torch.__version__, "device": name}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"device": properties.name, "memory, GiB": properties.total_memory / 2**30}

    def keep(what: str, value: float) -> None:
        found[what] = value
        (out / "floors.json").write_text(json.dumps(found, indent=1))

    keep("copy, TB/s read and written", copy_bandwidth(device, tiny=tiny) / 1e12)
    keep("bf16 matrix product, TFLOP/s", matrix_rate(device, tiny=tiny) / 1e12)
    dataset = load_dataset(data)
    keep("training images", len(dataset.splits["train"]))
    keep("plain bfloat16 pass, s", plain_pass(dataset, device))
    objective = make_objective(dataset, device)
    low = best_seconds(lambda: objective.sums(precision="bfloat16", batch_size=BATCH), device)
    keep("our bfloat16 pass, s", low)
    keep("our float32 pass, s", best_seconds(lambda: objective.sums(precision="float32", batch_size=BATCH), device))


def surface_pass(objective: Objective, device: torch.device, *, tiny: bool) -> Found:
    """Return the profile of some points of a surface, as `landscape.surface` computes them."""
    plane = random_plane(objective)
    settings = choose_settings(objective, plane, [(0.5, 0.5), (0.0, 0.0)], Evaluation())
    measurer = Measurer(objective, plane, objective.splits, settings)
    requests = [Request(0, 0.01 * i, 0.02) for i in range(2 if tiny else 12)]
    run = profiled(lambda: list(measurer(requests)), device, len(requests))
    return {"precision": settings.precision, "batch_size": settings.batch_size, **run}


def product(objective: Objective, device: torch.device) -> Found:
    """Return the profile of a product with the Hessian of all training images."""
    operator = landscape.CurvatureOperator(objective)
    vector = torch.ones(operator.size, device=device) / operator.size**0.5
    operator.matvec(vector)  # records the graphs
    run = profiled(lambda: operator.matvec(vector), device, 1)
    return {"kept, GB": operator.kept_bytes / 1e9, **run}


def measure_profile(name: str, data: str, out: Path, *, tiny: bool) -> None:
    """Write profile.json: the ten longest kernels and the gaps of training steps, surface passes and a product."""
    device, dataset = torch.device(name), load_dataset(data)
    found: Found = {}

    def keep(what: str, entry: Found) -> None:
        found[what] = entry
        (out / "profile.json").write_text(json.dumps(found, indent=1))

    objective = make_objective(dataset, device)
    keep("surface pass", surface_pass(objective, device, tiny=tiny))
    keep("product", product(objective, device))
    for recipe in ("adam", "sam"):
        keep(f"training step, {recipe}", profiled_training(recipe, dataset, device, tiny=tiny))


class Enough(Exception):  # noqa: N818
    """Ends a run whose profile is taken."""


def profiled_training(recipe: str, dataset: Dataset, device: torch.device, *, tiny: bool) -> Found:
    """Return the profile of some steps of `landscape.train`, once compiled and warm."""
    warm, count = (1, 1) if tiny else (40, 20)
    config = TrainConfig(
        recipe=recipe,
        epochs=1,
        batch_size=16 if tiny else 128,
        precision="bfloat16",
        compile="on" if device.type == "cuda" else "off",
        device=str(device),
    )
    profiler, started, seconds = make_profiler(device), 0.0, 0.0

    def on_step(done: int, _: int) -> None:
        nonlocal started, seconds
        if done == warm:
            synchronize(device)
            profiler.start()
            started = time.perf_counter()
        elif done == warm + count:
            synchronize(device)
            seconds = time.perf_counter() - started
            profiler.stop()
            raise Enough

    try:
        train(config, dataset, on_step=on_step)
    except Enough:
        return {"seconds": seconds / count, **summarized(profiler, device)}
    raise RuntimeError(f"expected more than {warm + count} steps in an epoch")


def profiled(run: Callable[[], object], device: torch.device, count: int) -> Found:
    """Return the seconds of a part of a run, unprofiled, and the profile of one run, after one that warms up."""
    seconds = best_seconds(run, device, repeats=2)
    profiler = make_profiler(device)
    with profiler:
        run()
        synchronize(device)
    return {"seconds": seconds / count, **summarized(profiler, device)}


def make_profiler(device: torch.device) -> torch.profiler.profile:
    on_gpu = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    return torch.profiler.profile(activities=[ProfilerActivity.CPU, *on_gpu])


Interval = tuple[float, float, str]  # start and end in µs, name


def summarized(profiler: torch.profiler.profile, device: torch.device) -> Found:
    """Return the longest kernels (operations on a CPU), and the gaps."""
    wanted = torch.autograd.DeviceType.CUDA if device.type == "cuda" else torch.autograd.DeviceType.CPU
    events = [e for e in profiler.events() or [] if e.device_type == wanted and not e.is_user_annotation]
    if device.type == "cpu":
        events = [event for event in events if not event.cpu_children]
    launches = [event for event in profiler.events() or [] if event.name.startswith(LAUNCHES)]
    intervals = ((event.time_range.start, event.time_range.end, event.name) for event in events)
    return {**kernels_and_gaps(intervals), "launches": len(launches)}


def kernels_and_gaps(intervals: Iterable[Interval]) -> Found:
    """Return the share of the time in which something runs, the longest kernels in all, and the longest gaps.

    >>> found = kernels_and_gaps([(0, 4, "a"), (6, 8, "b"), (3, 5, "a")])
    >>> found["busy"], found["kernels"][0], found["gaps"]
    (0.875, {'name': 'a', 'ms': 0.006, 'calls': 2}, [{'ms': 0.001, 'after': 'a', 'before': 'b'}])
    """
    ordered = sorted(intervals)
    if not ordered:
        return {"busy": None, "kernels": [], "gaps": []}
    totals: dict[str, list[float]] = defaultdict(list)
    gaps = []
    end, last = ordered[0][0], ordered[0][2]
    for start, stop, name in ordered:
        totals[name].append(stop - start)
        if start > end:
            gaps.append((start - end, last, name))
        if stop >= end:
            end, last = stop, name
    span = end - ordered[0][0]
    longest = sorted(totals.items(), key=lambda item: -sum(item[1]))[:TOP]
    return {
        "busy": 1 - sum(gap for gap, _, _ in gaps) / span if span else 1.0,
        "kernels": [{"name": name[:120], "ms": sum(each) / 1e3, "calls": len(each)} for name, each in longest],
        "gaps": [
            {"ms": gap / 1e3, "after": after[:80], "before": before[:80]}
            for gap, after, before in sorted(gaps, reverse=True)[:GAPS]
        ],
    }


MEASURES: dict[str, Callable[..., None]] = {"floors": measure_floors, "profile": measure_profile}
