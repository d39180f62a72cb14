"""Tune SAM and Adam by the same small grid on a validation split: learning rates first, then SAM's ρ at its best one.

    python checkpoints/tune.py --data folder:cifar10-jpeg --epochs 2 --lr 0.001,0.003,0.01 --rho 0.02,0.05,0.1,0.2

The test split is dropped before anything is trained. Each run is printed as one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

import landscape
from landscape.data import hold_out, load_dataset
from landscape.training import TrainConfig, train


def main() -> None:
    """Train the grid, and print each run and the winners."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--epochs", type=int, default=2, help="of SAM; Adam gets twice as many")
    parser.add_argument("--held", type=float, default=0.1, help="fraction of the training examples to validate on")
    parser.add_argument("--lr", default="0.001,0.003,0.01")
    parser.add_argument(
        "--rho", default="0.02,0.05,0.1,0.2", help="the second is the one the learning rates are tried with"
    )
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=100, help="none of those that are compared later")
    options = parser.parse_args()
    landscape.tune_allocator()
    data = load_dataset(options.data)
    data = hold_out(data, round(options.held * len(data.splits["train"])))
    data = dataclasses.replace(data, splits={name: data.splits[name] for name in ("train", "validation")})
    rates, radii = ([float(word) for word in words.split(",")] for words in (options.lr, options.rho))

    def run(recipe: str, lr: float, rho: float | None = None) -> tuple[float, float, float | None]:
        config = TrainConfig(
            recipe=recipe,
            model=options.model,
            epochs=options.epochs * (1 if recipe == "sam" else 2),
            lr=lr,
            rho=rho,
            precision=options.precision,
            device=options.device,
            seed=options.seed,
        )
        final = train(config, data).final
        print(json.dumps({"recipe": recipe, "lr": lr, "rho": rho, **final}), flush=True)
        return final["validation_accuracy"], lr, rho

    adam = max(run("adam", lr) for lr in rates)
    first = max(run("sam", lr, radii[1]) for lr in rates)
    sam = max([first, *(run("sam", first[1], rho) for rho in radii if rho != radii[1])])
    print(json.dumps({"adam": {"lr": adam[1]}, "sam": {"lr": sam[1], "rho": sam[2]}}))


if __name__ == "__main__":
    main()
