"""`landscape train`: checkpoints by recipe, for one seed or many."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from landscape.cli.options.analysis import (
    DataOptions,
    OptionalCount,
    OptionalCounts,
    OptionalNumber,
    OptionalNumbers,
    default,
    expand,
    expect,
    json_object,
)
from landscape.cli.terminal import console
from landscape.errors import LandscapeError

if TYPE_CHECKING:
    from landscape.data import Dataset
    from landscape.training import TrainConfig

RECIPE = "the recipe's"


@dataclass(frozen=True)
class SharpnessAwareOptions:
    """Options of SAM and its variants."""

    rho: Annotated[OptionalNumber, default("0.05; 0.5 for asam")] = None
    """Radius of SAM's perturbation."""
    p: Annotated[OptionalNumber, default("2")] = None
    """Norm of the perturbation: 2, inf, or any number above 1."""
    adaptive: Annotated[
        Literal["none", "all", "weights-only"] | None, default("none; all for asam", "{none,all,weights-only}")
    ] = None
    """Scale the perturbation to the weights (ASAM): to all parameters, or only to those named weight."""
    eta: Annotated[float, arg(metavar="X")] = 0.01
    """ASAM's η, added to the absolute weights."""
    micro_batch: Annotated[OptionalCount, default("the whole batch")] = None
    """Examples that share a perturbation (m-SAM)."""
    every: Annotated[OptionalCount, default("1; 5 for looksam")] = None
    """Take the perturbed gradient every so many steps only (LookSAM)."""
    gsam_alpha: Annotated[OptionalNumber, default("0; 0.4 for gsam")] = None
    """Weight of GSAM's orthogonal part."""
    ascent: Literal["local", "process", "global"] = "local"
    """With micro-batches or processes: a perturbation for each micro-batch, for each process, or one for all."""
    noise: Annotated[OptionalNumber, default("0.01")] = None
    """Size of rwp's random perturbation, relative to the weights."""


@dataclass(frozen=True)
class RegularizationOptions:
    """Regularization and averaging."""

    weight_decay: Annotated[OptionalNumber, default("0 for Adam, 0.0005 for SGD")] = None
    """L2 term of the optimizer."""
    decay: Literal["all", "weights"] = "all"
    """Parameters that decay: all, or only those of two and more dimensions (no biases, no BatchNorm)."""
    label_smoothing: Annotated[float, arg(metavar="X")] = 0.0
    """Share of each label spread over all classes."""
    max_norm: Annotated[OptionalNumber, default("no clipping")] = None
    """Clip the gradients to this norm."""
    ema_decay: Annotated[float, arg(metavar="X")] = 0.999
    """Decay of ema's moving average per step."""
    average_from: Annotated[float, arg(metavar="X")] = 0.75
    """Fraction of the epochs after which swa averages."""
    augment: Literal["auto", "crop-flip", "crop", "none"] = "auto"
    """Augmentation of the training images; auto crops and flips, but only crops digits."""
    cutout: Annotated[int, arg(metavar="N")] = 0
    """Blank a square of this side, in pixels."""
    brightness: Annotated[OptionalNumber, default("0; 0.5 for coursework")] = None
    """Add a constant of up to this to each image, of pixels scaled to 0...1."""


@dataclass(frozen=True)
class TrainOptions:
    """Model, budget and schedule of the training."""

    recipe: Positional[Annotated[str, arg(metavar="[RECIPE]")]] = "pair"
    """One of those above."""
    model: Annotated[str | None, default("resnet20; coursework for coursework", "NAME")] = None
    """resnet20 to resnet110, each also with -noshort, resnet20-gn, coursework, wrn28-10, shakeshake26-2x96d,
    pyramidnet272-shakedrop, ...; a name that is not known gets the list of all."""
    model_args: Annotated[str, arg(metavar="JSON")] = "{}"
    """Arguments of the model, a JSON object: --model wrn --model-args '{"depth": 16, "k": 4}'."""
    epochs: Annotated[int, arg(metavar="N")] = 30
    """Epochs of the recipe; in a pair the base trains for twice as many."""
    equal_epochs: bool = False
    """Train both members of a pair for the same number of epochs."""
    batch_size: Annotated[int, arg(metavar="N")] = 128
    """Examples per step, of all processes together."""
    lr: Annotated[OptionalNumber, default("0.001 for Adam, 0.1 for SGD")] = None
    """Peak learning rate."""
    base_lr: Annotated[OptionalNumber, default("--lr")] = None
    """That of a pair's base, where each member is tuned for itself."""
    schedule: Annotated[
        Literal["cosine", "constant", "swa", "plateau"] | None, default(RECIPE, "{cosine,constant,swa,plateau}")
    ] = None
    """Of the learning rate after the warm-up: a cosine to 0; constant; a cosine to a fifth that stays while swa
    averages; or halved whenever the validation loss has not fallen for 3 epochs."""
    warmup: Annotated[OptionalNumber, default("0.05; 0 for coursework")] = None
    """Fraction of the steps in which the learning rate rises."""
    hold_out: Annotated[OptionalNumber, default("0; 0.1 for coursework")] = None
    """Fraction of the training examples that becomes a validation split."""
    patience: Annotated[OptionalCount, default("0, never; 10 for coursework")] = None
    """Stop after so many epochs without a lower validation loss, and keep the weights that had the lowest."""
    history_examples: Annotated[int, arg(metavar="N")] = 5000
    """Training examples on which the curve of the train loss is measured (its last point on all)."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the training steps; auto takes bfloat16 where a few timed steps show that it is faster."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the steps; auto for long runs on a GPU."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the initial weights, the order of the examples and the augmentation."""
    seeds: Annotated[OptionalCounts, default("--seed alone")] = None
    """Seeds to train one after another, such as 0,1,2: the table then gives mean, spread and paired difference."""
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, mps, ...; auto takes CUDA, else MPS, else the CPU."""
    snapshots: bool = False
    """Keep the weights after each epoch, in <checkpoint>-snapshots/."""
    out: Annotated[str | None, default("checkpoints/<model>-<data>-<recipe>-s<seed>.pt", "F.pt|DIR")] = None
    """The checkpoint, or a folder for it; for several runs a folder."""
    resume: bool = False
    """Go on with a run that was stopped, or refuse; without this the same command goes on, or starts."""
    overwrite: bool = False
    """Replace checkpoints and unfinished runs that are there."""


@dataclass(frozen=True)
class TrainCommand(DataOptions, RegularizationOptions, SharpnessAwareOptions, TrainOptions):
    """Train a model by a recipe.

    adam, sgd: the optimizer alone. sam, asam, gsam, looksam (over Adam), sam-sgd, asam-sgd: sharpness-aware. rwp:
    random weight perturbation. swa, swa-sgd, ema: averaged weights. pair: sam for E epochs and adam for 2E (a SAM step
    takes two gradients) from the same initial weights, with the same order of examples and the same augmentation.
    coursework: such a pair by the protocol of the coursework, on its network.

    The same command resumes a stopped run, also after a kill, to the same weights, and reuses finished checkpoints of
    the same data and settings. On several GPUs: torchrun --nproc-per-node N -m landscape train ...
    """

    data: Annotated[str, arg(metavar="DATA")] = "digits"
    """digits, cifar10, cifar100, svhn, folder:PATH, npz:FILE, package.module:factory or file.py:factory."""
    mean: Annotated[OptionalNumbers, default("measured on the train split")] = None
    """Mean of each channel, of images scaled to 0...1, to normalize by."""
    std: Annotated[OptionalNumbers, default("measured on the train split")] = None
    """Standard deviation of each channel; goes with --mean."""

    def run(self) -> None:
        """Train, save, and print the final losses and accuracies."""
        from landscape.training.distributed import join_process_group

        with join_process_group() as group, console.silent(not group.is_main):
            self._run()

    def _run(self) -> None:
        from landscape.cli.tables.training import print_final, print_seeds
        from landscape.execution.allocator import tune_allocator
        from landscape.workflow.training import TrainingOptions, prepare_paths, train_or_resume, unfinished_path

        tune_allocator()
        config, seeds = self.config(), self.seeds or (self.seed,)
        by_seed = {seed: self.paths(seed) for seed in seeds}
        paths = {(recipe, seed): path for seed, members in by_seed.items() for recipe, path in members.items()}
        if self.resume and not any(unfinished_path(path).exists() for path in paths.values()):
            raise LandscapeError(f"no unfinished run of {next(iter(paths.values()))}; leave out --resume to start")
        prepare_paths(paths.values())
        dataset = self._dataset()
        options = TrainingOptions(self.equal_epochs, self.overwrite, self.snapshots, console.recorded_command())
        trained = {
            (recipe, seed): checkpoint
            for seed, members in by_seed.items()
            for recipe, checkpoint in train_or_resume(
                dataclasses.replace(config, seed=seed), dataset, members, options=options, reporter=console
            ).items()
        }
        if len(seeds) == 1:
            print_final({path.stem: trained[key] for key, path in paths.items()})
        else:
            print_seeds(trained)
        names = " ".join(shlex.quote(str(path)) for path in paths.values())
        data = f" --data {shlex.quote(self.data)}" if dataset.kind in ("folder", "npz", "python") else ""
        console.say(f"next: landscape sharpness {names}{data}")

    def config(self) -> TrainConfig:
        """Return the training configuration.

        Raises:
            LandscapeError: for an unknown model, or impossible seeds.
        """
        from landscape.models import MODELS
        from landscape.training import TrainConfig

        for seed in (self.seed, *(self.seeds or ())):
            expect(0 <= seed < 2**63, "--seed", seed, "a whole number of at least 0")
        model = self._model()
        expect(model in MODELS, "--model", model, f"one of {', '.join(MODELS)}")
        options = {field.name for field in dataclasses.fields(self)}
        shared = [field.name for field in dataclasses.fields(TrainConfig) if field.name in options]
        given = {name: getattr(self, name) for name in shared}
        return TrainConfig(**{**given, "model": model, "model_arguments": json_object(self.model_args)})

    def paths(self, seed: int) -> dict[str, Path]:
        """Return the path of each checkpoint of a seed by recipe."""
        from landscape.training import PAIRS

        kind, _, name = self.data.partition(":")
        data_path = Path(name).resolve()
        data = {"folder": data_path.name, "npz": data_path.stem}.get(kind, name or kind)
        out = self.out
        members = PAIRS.get(self.recipe, (self.recipe,))
        if len(members) > 1 or self.seeds:
            if out is not None and Path(out).suffix == ".pt":
                several = "a pair makes two checkpoints" if len(members) > 1 else "each seed makes a checkpoint"
                raise LandscapeError(f"{several}; give --out a folder instead of {out}")
        elif out is not None and not out.endswith(("/", "\\")) and not expand(out).is_dir():
            return {self.recipe: expand(out)}
        folder = expand("checkpoints" if out is None else out)
        return {member: folder / f"{self._model()}-{data}-{member}-s{seed}.pt" for member in members}

    def _model(self) -> str:
        return self.model or ("coursework" if self.recipe.startswith("coursework") else "resnet20")

    def _dataset(self) -> Dataset:
        from landscape.cli.requests.source import data_spec
        from landscape.workflow.sources.loading import read_data

        options: DataOptions = self
        if self.recipe.startswith("coursework") and self.mean is None:  # its images are at 0…1
            options = dataclasses.replace(self, no_normalize=True)
        dataset = read_data(data_spec(options), self.data)
        for note in dataset.notes:
            console.say(f"data: {note}")
        return dataset
