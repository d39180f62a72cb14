"""Progressive sharpening of full-batch gradient descent up to 2/η, with the monitor, as in Cohen et al. 2021.

    python tests/benchmarks/edge_of_stability.py --data folder:~/cifar10-jpeg --edges 50,80 --out edge.h5

The network of the paper (arXiv:2103.00065, section 3): 3072-200-200-10 with tanh, squared error, 5,000 CIFAR-10 images
(500 of each class), gradient descent on all of them at the step sizes 2/50 and 2/80. λ_max is measured every few steps
on the training images themselves. Printed for each step size: the step at which λ_max first exceeds 2/η, and the median
and the quartiles of (λ_max − 2/η) / (2/η) from there on. A PNG of the same name as the results is drawn beside them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import landscape
from landscape.data import stratified_subset
from landscape.monitoring import LambdaMax


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ½ ‖f(x) − y‖² of each example."""
    return (outputs - targets).square().sum(dim=1) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10, as --data of the command line takes it")
    parser.add_argument("--edges", default="50,80", help="values of 2/η, with commas between them")
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--every", type=int, default=20, help="steps between probes")
    parser.add_argument("--out", type=Path, default=Path("edge.h5"))
    arguments = parser.parse_args()
    inputs, targets = images(arguments.data, arguments.examples)
    results = {}
    for edge in map(float, arguments.edges.split(",")):
        label = f"η = {2 / edge:g}"
        results[label] = train(inputs, targets, edge, arguments, label)
        report(label, results[label], edge)
    landscape.figure(results).write_image(arguments.out.with_suffix(".png"), width=760, scale=2)


def images(data: str, examples: int) -> tuple[Tensor, Tensor]:
    """Return standardized images, (N, 3072), and one-hot targets, (N, 10)."""
    dataset = landscape.load_dataset(data)
    train = dataset.splits["train"]
    chosen = stratified_subset(train.labels, examples, 0)
    inputs = dataset.preprocess(train.inputs[chosen]).float().flatten(1)
    return inputs, nn.functional.one_hot(train.labels[chosen], len(dataset.classes)).float()


def train(inputs: Tensor, targets: Tensor, edge: float, arguments: argparse.Namespace, label: str):
    """Return the dynamics of gradient descent at the step size 2/edge."""
    torch.manual_seed(0)
    layers = [nn.Linear(inputs.shape[1], 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 10)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=2 / edge)
    objective = landscape.Objective(model, squared_error, inputs, targets, device="cpu", batch_size=len(inputs))
    monitor = landscape.Monitor(
        objective,
        every=arguments.every,
        measures=[LambdaMax(tolerance=0.01), "gradient_norm"],
        file=arguments.out,
        name=f"{label}/dynamics",
    )
    if len(monitor.result.position):
        return monitor.result
    started = time.perf_counter()
    for step in range(1, arguments.steps + 1):
        optimizer.zero_grad()
        loss = squared_error(model(inputs), targets).mean()
        loss.backward()
        optimizer.step()
        readings = monitor.step(step, model, optimizer)
        if readings and step % (5 * arguments.every) == 0:
            seconds = time.perf_counter() - started
            print(
                f"{label}: step {step}, loss {loss.item():.4f}, λ_max {readings['lambda_max']:.2f}, "
                f"{readings['products']:.0f} products, {seconds:.0f} s",
                flush=True,
            )
    return monitor.result


def report(label: str, result: landscape.results.DynamicsResult, edge: float) -> None:
    """Print when λ_max crosses the edge, and how far above it hovers."""
    relative = (result.series("lambda_max") - edge) / edge
    above = np.flatnonzero(relative > 0)
    if not len(above):
        print(f"{label}: λ_max stayed below it; its largest value is {result.series('lambda_max').max():.1f}")
        return
    later = relative[above[0] :]
    low, median, high = np.quantile(later, [0.25, 0.5, 0.75])
    print(
        f"{label}: λ_max exceeds it at step {result.position[above[0]]:.0f}; from there on median {median:+.1%} of "
        f"2/η, quartiles {low:+.1%} and {high:+.1%}, {len(later)} probes"
    )


if __name__ == "__main__":
    main()
