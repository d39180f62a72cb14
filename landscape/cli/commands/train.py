"""`landscape train`: checkpoints by recipe, for one seed or many."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

from tyro.conf import Positional, arg

from landscape.cli.options.analysis import (
    DataOptions,
    OptionalCounts,
    OptionalNames,
    OptionalNumber,
    default,
    expect,
    json_object,
)
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.storage.user_path import user_path

if TYPE_CHECKING:
    from landscape.data import Dataset
    from landscape.models.checkpoint import Checkpoint
    from landscape.training import InitialWeights, TrainConfig
    from landscape.workflow.monitoring import MonitorOptions


@dataclass(frozen=True)
class NetworkOptions:
    """Architecture, and initial weights."""

    model: Annotated[str | None, default("that of --from; coursework for coursework; resnet20", "NAME")] = None
    """resnet20 to resnet110, resnet20-noshort, resnet20-gn, wrn28-10, ...; another name prints the list of all."""
    model_args: Annotated[str, arg(metavar="JSON")] = "{}"
    """Arguments of the model, a JSON object: --model wrn --model-args '{"depth": 16, "k": 4}'."""
    start: Annotated[str | None, arg(name="from", metavar="FILE", help_behavior_hint="(default: random ones)")] = None
    """Weights to start from, with a new optimizer: a checkpoint, a snapshot, or any weight file that fits the model."""
    weights_key: Annotated[str | None, default("state_dict, model, ...", "KEY")] = None
    """With --from: the key of the weight file that holds the weights, such as model_ema."""


@dataclass(frozen=True)
class TrainOptions:
    """Recipe and budget of the training."""

    recipe: Positional[Annotated[str, arg(metavar="[RECIPE]")]] = "pair"
    """One of those above."""
    epochs: Annotated[int, arg(metavar="N")] = 30
    """Epochs of the recipe; in a pair the base trains for twice as many."""
    equal_epochs: bool = False
    """Train both members of a pair for the same number of epochs."""
    batch_size: Annotated[int, arg(metavar="N")] = 128
    """Examples per step, of all processes together."""
    lr: Annotated[OptionalNumber, default("0.001 for Adam and AdamW, 0.1 for SGD")] = None
    """Peak learning rate."""
    rho: Annotated[OptionalNumber, default("0.05; 0.5 for asam")] = None
    """Radius of SAM's perturbation."""
    sam_from: Annotated[int, arg(metavar="EPOCH")] = 1
    """First epoch of SAM's gradient; those before take the gradient of the base optimizer."""
    weight_decay: Annotated[OptionalNumber, default("0 for Adam, 0.01 for AdamW, 0.0005 for SGD")] = None
    """L2 term of the optimizer, or AdamW's decay."""
    set: Annotated[OptionalNames, default("the recipe's", "KEY=VALUE,...")] = None
    """Other settings of landscape.TrainConfig: warmup=0,schedule=constant; another key prints the list of all."""


@dataclass(frozen=True)
class RunOptions:
    """Seeds, device, and destination of the checkpoints."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the training steps; auto takes bfloat16 where a few timed steps show that it is faster."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the initial weights, the order of the examples and the augmentation."""
    seeds: Annotated[OptionalCounts, default("--seed alone")] = None
    """Seeds to train: 0,1,2, in turn or by --workers; the table then gives mean, spread and paired difference."""
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, mps, ...; auto takes CUDA, else MPS, else the CPU."""
    snapshots: bool = False
    """Keep the weights after each epoch, in <checkpoint>-snapshots/."""
    monitor: Annotated[OptionalNames, default("nothing")] = None
    """Measures while training: lambda_max, sam, gradient_norm, critical_step, ...; kept in results/<checkpoint>.h5."""
    monitor_every: Annotated[float, arg(metavar="EPOCHS")] = 1.0
    """Epochs between two probes of --monitor; 0.1 probes ten times an epoch."""
    out: Annotated[str | None, default("checkpoints/<model>-<data>-<recipe>-s<seed>.pt", "F.pt|DIR")] = None
    """The checkpoint, or a folder for it; for several runs a folder."""
    overwrite: bool = False
    """Replace checkpoints and unfinished runs that are there."""


@dataclass(frozen=True)
class TrainCommand(RunOptions, ExecutionOptions, DataOptions, NetworkOptions, TrainOptions):
    """Train a model by a recipe.

    adam, adamw, sgd: the optimizer alone. sam, asam, gsam, looksam, fsam (over Adam), sam-adamw, sam-sgd, asam-sgd:
    sharpness-aware. rwp: random weight perturbation. swa, swa-sgd, ema: averaged weights. pair: sam for E epochs and
    adam for 2E (a SAM step takes two gradients) from the same initial weights, with the same order of examples and the
    same augmentation. coursework: such a pair by the protocol of the coursework, on its network.

    The same command resumes a stopped run, also after a kill, to the same weights, and reuses finished checkpoints of
    the same data and settings. On several GPUs: torchrun --nproc-per-node N -m landscape train ...
    """

    data: Annotated[str | None, default("digits; those of --from", "DATA")] = None
    """digits, cifar10, cifar100, svhn, folder:PATH, npz:FILE, package.module:factory or file.py:factory."""
    normalize: Annotated[str | None, default("that of --from; measured on the train split", "MEAN/STD|none")] = None
    """Mean and deviation of each channel of images in 0...1, such as 0.5,0.5,0.5/0.2,0.2,0.2; none keeps 0...1."""

    def run(self) -> None:
        """Train, save, and print the final losses and accuracies."""
        from landscape.training.distributed import join_process_group

        with join_process_group() as group, console.silent(not group.is_main):
            fits = group.size == 1 or self.workers == 1
            expect(fits, "--workers", self.workers, "1 under torchrun, whose processes share one run")
            self._run()

    def _run(self) -> None:
        from landscape.cli.requests.execution import check_execution, workers_of
        from landscape.cli.tables.training import print_final, print_seeds
        from landscape.execution.allocator import tune_allocator
        from landscape.workflow.training import TrainingOptions, prepare_paths
        from landscape.workflow.training_runs import report_training_plan, train_seeds

        check_execution(self)
        tune_allocator()
        config, seeds = self.config(), self.seeds or (self.seed,)
        by_seed = {seed: self.paths(seed) for seed in seeds}
        paths = {(recipe, seed): path for seed, members in by_seed.items() for recipe, path in members.items()}
        prepare_paths(paths.values())
        dataset = self._dataset()
        options = TrainingOptions(
            self.equal_epochs, self.overwrite, self.snapshots, console.recorded_command(), self._monitor_options()
        )
        with workers_of(self, self.device) as workers:
            if self.dry_run:
                report_training_plan(config, dataset, by_seed, options=options, workers=workers, reporter=console)
                return
            trained = train_seeds(config, dataset, by_seed, options=options, workers=workers, reporter=console)
        if len(seeds) == 1:
            print_final({path.stem: trained[key] for key, path in paths.items()})
        else:
            print_seeds(trained)
        names = " ".join(shlex.quote(str(path)) for path in paths.values())
        data = f" --data {shlex.quote(self._data)}" if dataset.kind in ("folder", "npz", "python") else ""
        size = "" if self.image_size is None else f" --image-size {self.image_size}"
        console.say(f"next: landscape sharpness {names}{data}{size}")
        if self.monitor is not None:
            files = " ".join(shlex.quote(f"results/{path.stem}.h5") for path in paths.values())
            console.say(f"what was measured while training: landscape report {files} --open")

    def _monitor_options(self) -> MonitorOptions | None:
        """Return the options of the monitor; None without --monitor.

        Raises:
            LandscapeError: for an unknown measure, or an impossible number of epochs.
        """
        from landscape.workflow.monitoring import MonitorOptions

        return None if self.monitor is None else MonitorOptions(self.monitor, self.monitor_every)

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
        own = {field.name for field in dataclasses.fields(self)}
        shared = [field.name for field in dataclasses.fields(TrainConfig) if field.name in own]
        given = {name: getattr(self, name) for name in shared}
        further = further_settings(self.set or (), set(shared))
        arguments = json_object(self.model_args)
        return TrainConfig(
            **{**given, **further, "model": model, "model_arguments": arguments, "start": self._initial_weights}
        )

    def paths(self, seed: int) -> dict[str, Path]:
        """Return the path of each checkpoint of a seed by recipe."""
        from landscape.training import PAIRS

        kind, _, name = self._data.partition(":")
        data_path = Path(name).resolve()
        data = {"folder": data_path.name, "npz": data_path.stem}.get(kind, name or kind)
        out = self.out
        members = PAIRS.get(self.recipe, (self.recipe,))
        if len(members) > 1 or self.seeds:
            if out is not None and Path(out).suffix == ".pt":
                several = "a pair makes two checkpoints" if len(members) > 1 else "each seed makes a checkpoint"
                raise LandscapeError(f"{several}; give --out a folder instead of {out}")
        elif out is not None and not out.endswith(("/", "\\")) and not user_path(out).is_dir():
            return {self.recipe: user_path(out)}
        folder = user_path("checkpoints" if out is None else out)
        return {member: folder / f"{self._model()}-{data}-{member}-s{seed}.pt" for member in members}

    @cached_property
    def _initial_weights(self) -> InitialWeights | None:
        from landscape.training import InitialWeights

        expect(self.weights_key is None or self.start is not None, "--weights-key", self.weights_key, "--from with it")
        if self.start is None:
            return None
        weights = InitialWeights(user_path(self.start), self.weights_key)
        weights.check()
        return weights

    @property
    def _earlier(self) -> Checkpoint | None:
        """The checkpoint that the run starts from, if any."""
        return self._initial_weights.checkpoint if self._initial_weights is not None else None

    @property
    def _data(self) -> str:
        if self.data is not None or self.start is None:
            return self.data or "digits"
        spec = self._earlier.data.get("spec") if self._earlier else None
        if spec in (None, "folder", "npz", "python"):
            raise LandscapeError(f"{self.start} does not say where its data are; give --data")
        return str(spec)

    def _model(self) -> str:
        if self.model is None and self._earlier is not None:
            return self._earlier.model
        return self.model or ("coursework" if self.recipe.startswith("coursework") else "resnet20")

    def _dataset(self) -> Dataset:
        from landscape.cli.requests.source import data_spec
        from landscape.workflow.sources.loading import read_data

        spec = data_spec(self)
        if self.normalize is None and self._earlier is not None:
            mean, std = self._earlier.data.get("mean"), self._earlier.data.get("std")
            spec = dataclasses.replace(spec, mean=mean, std=std, normalize=mean is not None)
        elif self.normalize is None and self.recipe.startswith("coursework"):  # its images are at 0…1
            spec = dataclasses.replace(spec, normalize=False)
        dataset = read_data(spec, self._data)
        for note in dataset.notes:
            console.say(f"data: {note}")
        if self.start is not None and self._earlier is None and dataset.normalization == "measured":
            console.warn(
                f"the normalization of {self.start} is not known: took that of the data; --normalize states it"
            )
        return dataset


def further_settings(pairs: Sequence[str], own: set[str]) -> dict[str, Any]:
    """Return the settings of a --set option by name, each of the type that `TrainConfig` states.

    Args:
        pairs: KEY=VALUE.
        own: settings that have an option of their own.

    Raises:
        LandscapeError: for an unknown key, or a value of another type.
    """
    from landscape.training import TrainConfig

    types = {
        name: kind
        for name, kind in get_type_hints(TrainConfig).items()
        if name not in {*own, "model", "model_arguments", "start"}
    }
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        name = key.strip().replace("-", "_")
        expect(name in types, "--set", pair or "''", f"KEY=VALUE with a key of {', '.join(types)}")
        kinds = {kind for kind in (types[name], *get_args(types[name])) if kind in (int, float)}
        convert = kinds.pop() if kinds else str
        try:
            settings[name] = convert(text.strip())
        except ValueError:
            raise LandscapeError(f"got --set {pair}; expected {name} as {convert.__name__}") from None
    return settings
