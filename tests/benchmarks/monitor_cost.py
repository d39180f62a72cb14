"""Cost of the monitor's probes, as a share of the training steps between them.

    python tests/benchmarks/monitor_cost.py [--every 100] [--batch 128] [--examples 128,256,1000] [--rounds 5]

ResNet-20 on random 32x32 images and labels, trained with Adam in float32. Rounds alternate between a few training steps
and a probe of each measure on samples of several sizes; medians are printed as seconds and as a share of `--every`
steps. Warm starts are those of a run: each probe follows the one of the round before. The time of storing a probe is
printed, too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch
from torch.nn import functional as F

import landscape
from landscape.models import build

MEASURES = ("gradient_norm", "sam", "critical_step", "lambda_max")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--examples", default="128,256,1000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="training steps of a round")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.examples.split(",")]
    landscape.tune_allocator()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build("resnet20").to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = torch.randn(max(sizes), 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (max(sizes),), device=device)
    objectives = {size: landscape.Objective(model, "cross_entropy", images[:size], labels[:size]) for size in sizes}
    folder = tempfile.TemporaryDirectory()
    sets = [(name,) for name in MEASURES] + [MEASURES[:3], MEASURES]
    monitors = {
        (size, measures): landscape.Monitor(objective, every=1, measures=measures)
        for size, objective in objectives.items()
        for measures in sets
    }
    stored = landscape.Monitor(objectives[sizes[0]], every=1, measures=[], file=Path(folder.name) / "run.h5")
    seconds: dict[object, list[float]] = defaultdict(list)
    step = 0

    def train() -> None:
        nonlocal step
        chosen = torch.randint(0, len(images), (arguments.batch,), device=device)
        optimizer.zero_grad()
        F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
        step += 1

    def timed(key: object, run: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        run()  # type: ignore[operator]
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds[key].append(time.perf_counter() - started)

    for round_number in range(arguments.rounds + 1):  # the first warms up
        for _ in range(arguments.steps - 1):
            timed("step", train)
        for monitor in monitors.values():  # they keep the weights before the next step
            monitor._before = step, {name: value.detach().clone() for name, value in model.state_dict().items()}
        timed("step", train)
        for key, monitor in monitors.items():
            timed(key, lambda monitor=monitor: monitor.step(step, model, optimizer))
        timed("stored", lambda: stored.step(step, model, optimizer))
        if round_number == 0:
            seconds.clear()
    one = statistics.median(seconds["step"])
    between = one * arguments.every
    print(f"{device.type}, {torch.get_num_threads()} threads: {one * 1e3:.1f} ms a step of {arguments.batch} images")
    print(f"storing a probe: {statistics.median(seconds['stored']) * 1e3:.1f} ms")
    print(f"{'measures':45} {'examples':>8} {'ms':>8} {'of ' + str(arguments.every) + ' steps':>14} {'products':>9}")
    for (size, measures), monitor in monitors.items():
        cost = statistics.median(seconds[size, measures])
        products = monitor.result.series("products")[1:]
        count = f"{statistics.median(products.tolist()):.0f}" if "lambda_max" in measures else ""
        print(f"{', '.join(measures):45} {size:8} {cost * 1e3:8.0f} {cost / between:14.1%} {count:>9}")


if __name__ == "__main__":
    main()
