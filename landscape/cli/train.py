"""`landscape train`: checkpoints by recipe."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from landscape.cli import console
from landscape.cli.options import DataOptions
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.checkpoint import Checkpoint
    from landscape.data import Dataset
    from landscape.training import TrainConfig
    from landscape.training import EpochReport


@dataclass(frozen=True)
class Train(DataOptions):
    """Train a model by a recipe: adam, sam (over Adam), sgd, sam-sgd, or pair.

    A pair is sam for E epochs and adam for 2E (a SAM step takes two gradients) from the same initial weights, with the
    same order of examples and the same augmentation.
    """

    recipe: Positional[Annotated[str, arg(metavar="RECIPE")]] = "pair"
    """adam, sam, sgd, sam-sgd or pair."""
    model: Annotated[str, arg(metavar="NAME")] = "resnet20"
    """resnet20, resnet32, resnet44, resnet56 or resnet110."""
    epochs: int = 30
    """Epochs of the recipe; in a pair Adam trains for twice as many."""
    equal_epochs: bool = False
    """Train both members of a pair for the same number of epochs."""
    batch_size: int = 128
    """Examples per step."""
    lr: float | None = None
    """Peak learning rate, after a linear warm-up; a cosine then takes it to 0. By default 0.001 (Adam), 0.1 (SGD)."""
    rho: float = 0.05
    """Radius of SAM's perturbation."""
    weight_decay: float | None = None
    """By default 0 (Adam), 0.0005 (SGD)."""
    warmup: float = 0.05
    """Fraction of the steps in which the learning rate rises."""
    augment: Annotated[str, arg(metavar="HOW")] = "auto"
    """auto (crop and flip; crop alone for digits), crop-flip, crop or none."""
    precision: Annotated[str, arg(metavar="HOW")] = "auto"
    """auto takes bfloat16 where a few timed steps show that it is faster; float32; bfloat16."""
    seed: int = 0
    """Of the initial weights, the order of the examples and the augmentation."""
    device: str = "auto"
    """auto takes CUDA, else MPS, else the CPU."""
    out: Annotated[str | None, arg(metavar="F.pt|DIR")] = None
    """The checkpoint, or the folder of a pair's two. By default checkpoints/<model>-<data>-<recipe>-s<seed>.pt."""
    overwrite: bool = False
    """Replace checkpoints that are there."""

    def run(self) -> None:
        """Train, save, and print what came of it."""
        from landscape.allocator import tune_allocator
        from landscape.cli.subjects import read_data

        tune_allocator()
        config = self.config()
        spec = self.data or "digits"
        paths = self._paths(spec)
        for path in paths.values():
            if path.exists() and not self.overwrite:
                raise LandscapeError(f"{path} is there already; give another --out, or --overwrite it")
        dataset = read_data(self, spec)
        for note in dataset.notes:
            console.say(f"data: {note}")
        trained = fit(config, dataset, paths, equal_epochs=self.equal_epochs)
        print_final({path.stem: trained[recipe] for recipe, path in paths.items()})
        names = " ".join(shlex.quote(str(path)) for path in paths.values())
        place = "" if dataset.kind not in ("folder", "npz", "python") else f" --data {shlex.quote(spec)}"
        console.say(f"wrote {names}; next: landscape sharpness {names}{place}")

    def config(self) -> TrainConfig:
        """Return the options as the training half takes them."""
        from landscape.training import TrainConfig

        shared = {field.name for field in dataclasses.fields(TrainConfig)} & {
            field.name for field in dataclasses.fields(self)
        }
        return TrainConfig(**{name: getattr(self, name) for name in shared})

    def _paths(self, spec: str) -> dict[str, Path]:
        data = spec if ":" not in spec else Path(spec.partition(":")[2]).stem or spec.partition(":")[0]
        stem = f"{self.model.replace(':', '-').replace('/', '-')}-{data}"
        members = ("sam", "adam") if self.recipe == "pair" else (self.recipe,)
        if self.recipe != "pair" and self.out:
            return {self.recipe: Path(self.out)}
        folder = Path(self.out or "checkpoints")
        if folder.suffix == ".pt":
            raise LandscapeError(f"a pair makes two checkpoints; give --out a folder instead of {folder}")
        return {member: folder / f"{stem}-{member}-s{self.seed}.pt" for member in members}


def fit(
    config: TrainConfig, dataset: Dataset, paths: Mapping[str, Path], *, equal_epochs: bool = False
) -> dict[str, Checkpoint]:
    """Train one recipe or both members of a pair with progress, save each checkpoint as it is done, and return them."""
    from landscape.checkpoint import save_checkpoint
    from landscape.training import pair_members, resolve, train

    config = resolve(config, dataset)
    members = pair_members(config, equal_epochs=equal_epochs) if config.recipe == "pair" else (config,)
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    trained = {}
    for member in members:
        console.say(
            f"{member.recipe}: {member.model} for {member.epochs} epochs of {len(dataset.splits['train'])} examples "
            f"in {member.precision} on {member.device}"
        )
        with _progress(member) as callbacks:
            trained[member.recipe] = train(member, dataset, command=console.command(), **callbacks)
        save_checkpoint(trained[member.recipe], paths[member.recipe])
    return trained


def print_final(trained: Mapping[str, Checkpoint]) -> None:
    """Print the final losses and accuracies side by side."""
    names = [f"{split} {metric}" for split in ("train", "test") for metric in ("loss", "accuracy")]
    rows = []
    for name in names:
        values = [checkpoint.final.get(name.replace(" ", "_")) for checkpoint in trained.values()]
        if any(value is not None for value in values):
            rows.append(
                [name, *("" if v is None else (f"{v:.2%}" if "accuracy" in name else f"{v:.4f}") for v in values)]
            )
    rows.append(["training time", *(console.duration(c.provenance["seconds"]) for c in trained.values())])
    console.print_table("after training (un-augmented, float32)", ["", *trained], rows)


@contextmanager
def _progress(config: TrainConfig) -> Iterator[dict[str, Any]]:
    with console.progress(f"{config.recipe}: steps", None) as advance:
        note = ""

        def on_step(done: int, total: int) -> None:
            advance(1, note, total=total)

        def on_epoch(report: EpochReport) -> None:
            nonlocal note
            split = "test" if "test_accuracy" in report.row else "train"
            accuracy = report.row[f"{split}_accuracy"]
            note = f"epoch {report.epoch}/{report.epochs}, {split} {accuracy:.1%}, {report.images_per_second:,.0f} images/s"
            advance(0, note)

        yield {"on_step": on_step, "on_epoch": on_epoch}
