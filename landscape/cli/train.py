"""`landscape train`: checkpoints by recipe."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from landscape.cli import console
from landscape.cli.options import DataOptions, OptionalNumber, OptionalNumbers, default, expand, expect
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.checkpoint import Checkpoint
    from landscape.data import Dataset
    from landscape.training import EpochReport, TrainConfig


@dataclass(frozen=True)
class TrainOptions:
    """How to train."""

    recipe: Positional[Annotated[str, arg(metavar="[RECIPE]")]] = "pair"
    """adam, sam (over Adam), sgd, sam-sgd or pair."""
    model: Annotated[str, arg(metavar="NAME")] = "resnet20"
    """resnet20, resnet32, resnet44, resnet56 or resnet110."""
    epochs: Annotated[int, arg(metavar="N")] = 30
    """Epochs of the recipe; in a pair Adam trains for twice as many."""
    equal_epochs: bool = False
    """Train both members of a pair for the same number of epochs."""
    batch_size: Annotated[int, arg(metavar="N")] = 128
    """Examples per step."""
    lr: Annotated[OptionalNumber, default("0.001 for Adam, 0.1 for SGD")] = None
    """Peak learning rate, reached after a linear warm-up; a cosine then takes it to 0."""
    rho: Annotated[float, arg(metavar="X")] = 0.05
    """Radius of SAM's perturbation."""
    weight_decay: Annotated[OptionalNumber, default("0 for Adam, 0.0005 for SGD")] = None
    """L2 term of the optimizer."""
    warmup: Annotated[float, arg(metavar="X")] = 0.05
    """Fraction of the steps in which the learning rate rises."""
    augment: Literal["auto", "crop-flip", "crop", "none"] = "auto"
    """Augmentation of the training images; auto crops and flips, but only crops digits."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the training steps; auto takes bfloat16 where a few timed steps show that it is faster."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the initial weights, the order of the examples and the augmentation."""
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, mps, ...; auto takes CUDA, else MPS, else the CPU."""
    out: Annotated[str | None, default("checkpoints/<model>-<data>-<recipe>-s<seed>.pt", "F.pt|DIR")] = None
    """The checkpoint, or a folder for it; for a pair a folder."""
    overwrite: bool = False
    """Replace checkpoints that are there."""


@dataclass(frozen=True)
class Train(DataOptions, TrainOptions):
    """Train a model by a recipe: adam, sam (over Adam), sgd, sam-sgd, or pair.

    A pair is sam for E epochs and adam for 2E (a SAM step takes two gradients) from the same initial weights, with the
    same order of examples and the same augmentation. Checkpoints that are there already, of the same data and
    settings, are not trained again.
    """

    data: Annotated[str, arg(metavar="DATA")] = "digits"
    """digits, cifar10, cifar100, svhn, folder:PATH, npz:FILE, package.module:factory or file.py:factory."""
    mean: Annotated[OptionalNumbers, default("measured on the train split")] = None
    """Mean of each channel, of images scaled to 0...1, to normalize by."""
    std: Annotated[OptionalNumbers, default("measured on the train split")] = None
    """Standard deviation of each channel; goes with --mean."""

    def run(self) -> None:
        """Train, save, and print what came of it."""
        from landscape.allocator import tune_allocator
        from landscape.cli.subjects import read_data

        tune_allocator()
        config = self.config()
        paths = self._paths()
        check_places(paths)
        dataset = read_data(self, self.data)
        for note in dataset.notes:
            console.say(f"data: {note}")
        trained = fit(config, dataset, paths, equal_epochs=self.equal_epochs, overwrite=self.overwrite)
        print_final({path.stem: trained[recipe] for recipe, path in paths.items()})
        names = " ".join(shlex.quote(str(path)) for path in paths.values())
        place = f" --data {shlex.quote(self.data)}" if dataset.kind in ("folder", "npz", "python") else ""
        console.say(f"next: landscape sharpness {names}{place}")

    def config(self) -> TrainConfig:
        """Return the options as the training half takes them."""
        from landscape.models import MODELS
        from landscape.training import TrainConfig

        expect(self.seed < 2**63, "--seed", self.seed, "a smaller number")
        expect(self.model in MODELS, "--model", self.model, f"one of {', '.join(MODELS)}")
        own = {field.name for field in dataclasses.fields(self)}
        shared = [field.name for field in dataclasses.fields(TrainConfig) if field.name in own]
        return TrainConfig(**{name: getattr(self, name) for name in shared})

    def _paths(self) -> dict[str, Path]:
        """Return the place of each checkpoint by recipe."""
        kind, _, place = self.data.partition(":")
        found = Path(place).resolve()
        data = {"folder": found.name, "npz": found.stem}.get(kind, place or kind)  # of module:factory the factory
        out = self.out
        members: tuple[str, ...] = (self.recipe,)
        if self.recipe == "pair":
            members = ("sam", "adam")
            if out is not None and Path(out).suffix == ".pt":
                raise LandscapeError(f"a pair makes two checkpoints; give --out a folder instead of {out}")
        elif out is not None and not out.endswith(("/", "\\")) and not expand(out).is_dir():
            return {self.recipe: expand(out)}
        folder = expand(out or "checkpoints")
        return {member: folder / f"{self.model}-{data}-{member}-s{self.seed}.pt" for member in members}


def check_places(paths: Mapping[str, Path]) -> None:
    """Make the folders that checkpoints go to, and see that they can be written before hours of training.

    Raises:
        LandscapeError: where they cannot, or something else than a checkpoint is in the way.
    """
    from landscape.checkpoint import is_checkpoint

    for path in paths.values():
        if path.is_dir():
            raise LandscapeError(f"cannot write {path}: a folder is there; give another --out")
        if path.exists() and not is_checkpoint(path):
            raise LandscapeError(f"{path} is there already and is no landscape checkpoint; give another --out")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except (FileExistsError, NotADirectoryError) as error:
            raise LandscapeError(f"cannot write {path}: {path.parent} is a file, not a folder") from error
        except OSError as error:
            raise LandscapeError(f"cannot write {path}: {error.strerror or error}; give another --out") from error


def fit(
    config: TrainConfig,
    dataset: Dataset,
    paths: Mapping[str, Path],
    *,
    equal_epochs: bool = False,
    overwrite: bool = False,
) -> dict[str, Checkpoint]:
    """Train one recipe or both members of a pair with progress, save each checkpoint as it is done, and return them.

    What an earlier run with the same settings left is used, so that a pair that was stopped goes on.

    Raises:
        LandscapeError: where a checkpoint of other settings is in the way, and `overwrite` is not set.
    """
    from landscape.checkpoint import load_checkpoint, save_checkpoint
    from landscape.training import pair_members, resolve, train

    there = {recipe: load_checkpoint(path) for recipe, path in paths.items() if path.exists() and not overwrite}
    if config.precision == "auto" and there:
        config = dataclasses.replace(config, precision=next(iter(there.values())).training.get("precision", "auto"))
    config = resolve(config, dataset)
    members = pair_members(config, equal_epochs=equal_epochs) if config.recipe == "pair" else (config,)
    for member in members:
        if member.recipe in there:
            difference = _difference(there[member.recipe], member, dataset)
            if difference is not None:
                raise LandscapeError(
                    f"{paths[member.recipe]} is there already with other settings: {difference}; "
                    "give another --out, or --overwrite it"
                )
    trained: dict[str, Checkpoint] = {}
    for member in members:
        if member.recipe in there:
            console.say(f"{member.recipe}: {paths[member.recipe]} is there already with these settings")
            trained[member.recipe] = there[member.recipe]
            continue
        console.say(
            f"{member.recipe}: {member.model} for {member.epochs} epochs of {len(dataset.splits['train'])} examples "
            f"in {member.precision} on {member.device}"
        )
        with _progress(member) as callbacks:
            trained[member.recipe] = train(member, dataset, command=console.recorded_command(), **callbacks)
        save_checkpoint(trained[member.recipe], paths[member.recipe])
        console.say(f"wrote {paths[member.recipe]}")
    return trained


def _difference(there: Checkpoint, config: TrainConfig, dataset: Dataset) -> str | None:
    """Return in what a checkpoint differs from what would be trained now; None where in nothing."""
    described = dataset.describe()
    pairs: dict[str, tuple[Any, Any]] = {
        "model": (there.model, config.model),
        "model_arguments": (there.model_arguments, dict(config.model_arguments)),
        **{
            name: (there.data.get(key), described[key])
            for name, key in (("the data", "fingerprints"), ("mean", "mean"), ("std", "std"))
        },
        **{
            field.name: (there.training[field.name], getattr(config, field.name))
            for field in dataclasses.fields(config)
            if field.name in there.training and (field.name != "rho" or there.training["rho"] is not None)
        },
    }
    for name, (old, new) in pairs.items():
        if old != new:
            return "the data differ" if name == "the data" else f"{name} is {old} there and {new} here"
    return None


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
            rate = f"{report.images_per_second:,.0f} images/s"
            note = f"epoch {report.epoch}/{report.epochs}, {split} {accuracy:.1%}, {rate}"
            advance(0, note)

        yield {"on_step": on_step, "on_epoch": on_epoch}
