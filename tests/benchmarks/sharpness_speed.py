"""Losses and gradients per second through the objective against the plain forward pass and gradient, side by side.

    python tests/benchmarks/sharpness_speed.py [--examples 1000] [--rounds 5]

What sharpness measures are made of: ResNet-20 with random weights on random 32x32 images (speed does not depend on
their values), in float32. Rounds alternate between the ways; medians and their ratios to the plain pass are printed.
The errors of both gradients against float64 are printed too: a faster pass of another function is worth nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

import landscape
from landscape.analysis.objective.weights import flatten
from landscape.models import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--subset", type=int, default=128, help="size of the subsets of m-sharpness and the worst case")
    parser.add_argument("--no-allocator", action="store_true", help="leave malloc as users of other tools have it")
    arguments = parser.parse_args()
    if not arguments.no_allocator:
        landscape.tune_allocator()
    torch.manual_seed(0)
    model = build("resnet20").eval()
    images = torch.randn(arguments.examples, 3, 32, 32)
    labels = torch.randint(0, 10, (arguments.examples,))
    objective = landscape.Objective(model, "cross_entropy", images, labels)
    device, size = objective.device, objective.batch_size
    model, images, labels = model.to(device), images.to(device), labels.to(device)
    parameters = list(model.parameters())
    split = objective.splits[0]
    subset = objective.variant(data={split: objective.data[split].take(np.arange(arguments.subset))})

    def plain_loss(examples: int) -> Callable[[], float]:
        def run() -> float:
            total = 0.0
            with torch.no_grad():
                for start in range(0, examples, size):
                    part = slice(start, min(start + size, examples))
                    total += F.cross_entropy(model(images[part]), labels[part], reduction="sum").item()
            return total / examples

        return run

    def plain_gradient(examples: int) -> Callable[[], list[torch.Tensor]]:
        def run() -> list[torch.Tensor]:
            model.zero_grad()
            for start in range(0, examples, size):
                part = slice(start, min(start + size, examples))
                (F.cross_entropy(model(images[part]), labels[part], reduction="sum") / examples).backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            return [parameter.grad for parameter in parameters if parameter.grad is not None]

        return run

    few = arguments.subset
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "loss, plain": (arguments.examples, plain_loss(arguments.examples)),
        "loss, objective": (arguments.examples, objective.loss),
        "gradient, plain": (arguments.examples, plain_gradient(arguments.examples)),
        "gradient, objective": (arguments.examples, objective.gradient),
        f"loss of {few}, plain": (few, plain_loss(few)),
        f"loss of {few}, objective": (few, subset.loss),
        f"gradient of {few}, plain": (few, plain_gradient(few)),
        f"gradient of {few}, objective": (few, subset.gradient),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(arguments.rounds + 1):
        for name, (_, way) in ways.items():
            started = time.perf_counter()
            way()
            if round_number:  # the first round warms up
                rates[name].append(1 / (time.perf_counter() - started))
    print(f"{torch.get_num_threads()} threads, {device}, {arguments.rounds} rounds; medians of evaluations per second:")
    base = ""
    for name, found in rates.items():
        base = name if name.endswith("plain") else base
        median = statistics.median(found)
        ratio = median / statistics.median(rates[base])
        span = f"({min(found):.2f} to {max(found):.2f})"
        print(
            f"{name:26} {median:8.2f}/s of {ways[name][0]:,} images, {median * ways[name][0]:8,.0f} images/s  "
            f"{ratio:.2f} x plain  {span}"
        )
    exact = landscape.Objective(model, "cross_entropy", images, labels, device=device, precision="float64", fold=False)
    reference = flatten(exact.gradient()[1])
    mine = flatten(objective.gradient()[1])
    plain = torch.cat([g.flatten() for g in plain_gradient(arguments.examples)()])
    errors = [float((g.double() - reference).norm() / reference.norm()) for g in (plain, mine)]
    print(f"relative error of the gradient against float64: {errors[0]:.1e} plain, {errors[1]:.1e} objective")


if __name__ == "__main__":
    main()
