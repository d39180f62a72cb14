"""Images per second of a surface's points against the plain forward pass, side by side in one run.

    python tests/benchmarks/surface_speed.py [--examples 1000] [--rounds 5]

ResNet-20 with random weights on random 32x32 images (speed does not depend on their values). Rounds alternate between
the ways; medians and their ratios to the plain pass are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import landscape
from landscape.analysis.tuning import choose_batch_size
from landscape.models import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-allocator", action="store_true", help="leave malloc as users of other tools have it")
    arguments = parser.parse_args()
    if not arguments.no_allocator:
        landscape.tune_allocator()
    torch.manual_seed(0)
    model = build("resnet20").eval()
    images = torch.randn(arguments.examples, 3, 32, 32)
    labels = torch.randint(0, 10, (arguments.examples,))
    objective = landscape.Objective(model, "cross_entropy", images, labels)
    plane = landscape.random_plane(objective)
    device = objective.device
    model, resident = model.to(device), images.to(device)

    def plain() -> None:
        with torch.no_grad():
            for start in range(0, len(resident), objective.batch_size):
                model(resident[start : start + objective.batch_size])
        if device.type == "cuda":
            torch.cuda.synchronize()

    def point(precision: str) -> Callable[[], None]:
        size, _ = choose_batch_size(objective, precision)  # type: ignore[arg-type]

        def run() -> None:
            objective.sums(plane.at(0.3, -0.2), precision=precision, batch_size=size).cpu()  # type: ignore[arg-type]

        return run

    ways = {
        "plain forward, float32": plain,
        "surface point, float32": point("float32"),
        "surface point, bfloat16": point("bfloat16"),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(arguments.rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_number:  # the first round warms up
                rates[name].append(arguments.examples / (time.perf_counter() - started))
    base = statistics.median(rates["plain forward, float32"])
    print(
        f"{torch.get_num_threads()} threads, {device}, {arguments.examples} images, {arguments.rounds} rounds; medians:"
    )
    for name, found in rates.items():
        median = statistics.median(found)
        span = f"({min(found):,.0f} to {max(found):,.0f})"
        print(f"{name:26} {median:8,.0f} images/s  {median / base:.2f} x plain  {span}")


if __name__ == "__main__":
    main()
