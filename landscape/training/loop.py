"""The training loop: plain, resident on the device, without a synchronization per step, and safe from a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape.data import Dataset, quota_subset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint
from landscape.training.averaging import averages_after_epoch, averages_after_step, recalibrate
from landscape.training.distributed import Processes, current
from landscape.training.divergence import DivergedError
from landscape.training.evaluation import Evaluation, autocast, evaluate
from landscape.training.make_checkpoint import checkpoint_of
from landscape.training.pipeline.augment import Augmentation, choose, draw
from landscape.training.pipeline.device_dataset import Resident
from landscape.training.pipeline.shuffling import batches, epoch_order
from landscape.training.recipes import PAIRS, RECIPES, TrainConfig
from landscape.training.run import Run
from landscape.training.schedule import learning_rate
from landscape.training.settings import resolve, seeded, with_validation
from landscape.training.snapshots import write_snapshot
from landscape.training.step import Step

HISTORY_SEED = 0


@dataclass(frozen=True)
class EpochReport:
    """What an epoch came to, for people to watch."""

    recipe: str
    epoch: int  # 1 … epochs
    epochs: int
    row: Mapping[str, float]  # this epoch's entry of each column of the history
    images_per_second: float  # of the training steps alone, without evaluation; a SAM step counts its images once


def train(
    config: TrainConfig,
    dataset: Dataset,
    *,
    state: str | Path | None = None,
    keep_seconds: float = 60.0,
    snapshots: str | Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    command: str = "",
) -> Checkpoint:
    """Return the trained model as a checkpoint, with its history and its float32 losses and accuracies.

    The order of the examples and the augmentation draws of an epoch depend on the seed and the epoch alone. On a CPU,
    the same configuration (its precision not left to "auto") and number of threads give the same weights bit for bit,
    also when the run was killed and gone on with. The caller's random generators are left as they were. The history's
    losses are measured un-augmented and in evaluation mode, in the training precision and with `history_examples` of
    the training examples, but for the last epoch's, which are the final float32 ones on all examples.

    In a process group (torchrun's, see `processes.joined`) each process takes its share of every batch.

    Args:
        config: the recipe and its settings.
        dataset: with a split `train`, and losses of its other splits.
        state: file in which the unfinished run is kept, and from which it goes on where the file is there. It stays
            until the caller, having saved the checkpoint, removes it.
        keep_seconds: how often it is written, beside the end of each epoch.
        snapshots: folder for the weights before the first and after each epoch.
        on_epoch: called after each epoch.
        on_step: called after each step with the steps done and the steps of the whole run.
        command: what repeats this run, for the provenance; without absolute paths.

    Raises:
        DivergedError: a loss became infinite or NaN.
        LandscapeError: for settings that do not fit the data, or a state of another run.
    """
    if config.recipe in PAIRS:
        raise LandscapeError(
            f"{config.recipe} is a pair of runs: call train_pair, or train with one of {', '.join(RECIPES)}"
        )
    config = resolve(config, dataset)
    loop = _Loop(config, with_validation(config, dataset), Path(state) if state else None, keep_seconds, command)
    with seeded(config.seed + 1_000_003 * loop.processes.rank, loop.device):  # what dropout draws
        loop.begin(Path(snapshots) if snapshots else None)
        while not loop.run.ended:
            loop.train_epoch(on_step)
            report = loop.finish_epoch()
            if on_epoch:
                on_epoch(report)
        return loop.checkpoint()


class _Loop:
    """A run with its data, and where it is kept."""

    def __init__(
        self, config: TrainConfig, dataset: Dataset, state: Path | None, keep_seconds: float, command: str
    ) -> None:
        assert config.brightness is not None
        self.config, self.dataset, self.command = config, dataset, command
        self.state, self.keep_seconds = state, keep_seconds
        self.snapshots: Path | None = None
        self.good: dict[str, Tensor] | None = None  # the weights after the last epoch that was good
        self.final: dict[str, float] = {}  # measured so far
        self.processes = current()
        self.device = torch.device(config.device)
        self.augmentation: Augmentation | None = choose(
            config.augment,
            dataset.kind,
            dataset.input_shape,
            is_images=dataset.is_images,
            brightness=config.brightness,
            cutout=config.cutout,
        )
        self.data = {
            split: Resident(dataset, split, self.device, augmentation=self.augmentation if split == "train" else None)
            for split in dataset.splits
        }
        examples = len(self.data["train"])
        self.cuts = batches(examples, config.batch_size, processes=self.processes.count)
        self.steps = config.epochs * len(self.cuts)
        self.watched: Tensor | None = None  # training examples behind the history; None for all
        if config.history_examples < examples:
            labels = dataset.splits["train"].labels
            self.watched = quota_subset(labels, config.history_examples, HISTORY_SEED)
        self.run = Run(config, dataset, self.processes)
        self.step = Step(self.run)

    def begin(self, snapshots: Path | None) -> None:
        """Go on from the state that is kept, or start with a snapshot of the initial weights."""
        self.snapshots = snapshots
        if self.state is not None and self.state.exists():
            self.run.restore(self.state, steps=len(self.cuts))
            self.good = self.run.weights() if self.run.epoch and not self.run.step else None
        else:
            self._snapshot()
        self.clock = self.kept = time.perf_counter()

    def train_epoch(self, on_step: Callable[[int, int], None] | None) -> None:
        """Take the steps that are left of the running epoch."""
        run, epoch = self.run, self.run.epoch + 1
        self.began, self.first = time.perf_counter(), run.step
        before = run.epoch * len(self.cuts)
        for inputs, labels in self._batches(epoch, self.cuts[run.step :], self.processes):
            share = self.processes.count * len(labels) / _length(self.cuts[run.step])
            run.losses += self.step(inputs, labels, lr=self._learning_rate(before + run.step), share=share)
            if run.average is not None and averages_after_step(self.config):
                run.average.update_parameters(run.model)
            run.step += 1
            if on_step:
                on_step(before + run.step, self.steps)
            if time.perf_counter() - self.kept > self.keep_seconds:
                self._keep()

    def finish_epoch(self) -> EpochReport:
        """Measure what the epoch came to, and keep it."""
        run, config = self.run, self.config
        seconds = time.perf_counter() - self.began
        taken = self.cuts[self.first :]
        loss = self.processes.total(run.losses.clone()).item() / self.processes.count / len(self.cuts)
        run.epoch, run.step = run.epoch + 1, 0
        run.losses.zero_()
        if run.average is not None and averages_after_epoch(config, run.epoch):
            run.average.update_parameters(run.model)
        measured = {} if not math.isfinite(loss) else self._measure_epoch()
        bad = [value for value in (loss, *measured.values()) if not math.isfinite(value)]
        if bad:
            raise self._diverged(bad[0])
        row = {
            "epoch": float(run.epoch),
            **measured,
            "learning_rate": float(run.optimizer.param_groups[0]["lr"]),
            "gradient_evaluations": float(run.evaluated),
            "seconds": self._seconds(),
        }
        for column, value in row.items():
            run.history.setdefault(column, []).append(value)
        if run.plateau is not None:
            run.plateau.step(measured.get("validation_loss", measured["train_loss"]))
        run.remember_best()
        self.good = run.weights()
        self._snapshot()
        self._keep()
        rate = sum(map(_length, taken)) / seconds
        return EpochReport(config.recipe, run.epoch, config.epochs, row, rate)

    def checkpoint(self) -> Checkpoint:
        """Return the weights the run ends with (the average, or the best), measured in float32 on all examples."""
        run, model = self.run, self.run.model
        if run.best is not None:
            model.load_state_dict(run.best)
        if run.average is not None:
            model.load_state_dict(run.average.module.state_dict())
            with torch.no_grad(), autocast(self.device, self.config.precision):
                recalibrate(model, (inputs for inputs, _ in self._batches(run.epoch + 1, self.cuts, Processes())))
        final = self.final or self._measure("float32", None)
        seconds = self._seconds()
        return checkpoint_of(run, self.dataset, self.data["train"], final, seconds=seconds, command=self.command)

    def _batches(self, epoch: int, cuts: list[slice], processes: Processes) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a process's share of the batches of an epoch (1 … epochs), augmented."""
        data, seed = self.data["train"], self.config.seed
        order = epoch_order(len(data), seed=seed, epoch=epoch, device=self.device)
        draws = None
        if self.augmentation:
            size = data.image_size
            draws = draw(self.augmentation, len(data), size, seed=seed, epoch=epoch, device=self.device)
        for cut in map(processes.part, cuts):
            yield data.augmented_batch(order[cut], draws.at(cut)) if draws else data.batch(order[cut])

    def _learning_rate(self, step: int) -> float | None:
        """Return the learning rate of a step; None where the validation loss decides."""
        config = self.config
        assert config.lr is not None
        assert config.schedule is not None
        assert config.warmup is not None
        if config.schedule == "plateau":
            return None
        return learning_rate(
            config.schedule,
            config.lr,
            step=step,
            steps=self.steps,
            warmup=config.warmup,
            average_from=config.average_from,
        )

    def _measure_epoch(self) -> dict[str, float]:
        """Return the losses and accuracies after an epoch: the final ones where these are the final weights."""
        run, config = self.run, self.config
        if run.epoch < config.epochs or run.average is not None or config.patience:
            return self._measure(config.precision, self.watched)
        self.final = self._measure("float32", None)
        return self.final

    def _measure(self, precision: str, watched: Tensor | None) -> dict[str, float]:
        model, found = self.run.model, {}
        for split, data in self.data.items():
            indices = watched if split == "train" else None
            found[split] = evaluate(model, data, precision=precision, indices=indices, processes=self.processes)
        return _named(found)

    def _seconds(self) -> float:
        """Return the time spent on the run so far, and count from now on."""
        now = time.perf_counter()
        self.run.seconds, self.clock = self.run.seconds + now - self.clock, now
        return self.run.seconds

    def _keep(self) -> None:
        self.kept = time.perf_counter()
        self._seconds()
        if self.state is not None and self.processes.first:
            self.run.save(self.state)

    def _snapshot(self) -> None:
        if self.snapshots is not None and self.processes.first:
            about = {"model": self.config.model, "recipe": self.config.recipe, "seed": str(self.config.seed)}
            write_snapshot(self.run.model, self.snapshots, self.run.epoch, about)

    def _diverged(self, loss: float) -> DivergedError:
        """Return the error, with the weights after the last good epoch as a checkpoint where there is one."""
        config, run, epoch = self.config, self.run, self.run.epoch
        last = None
        if self.good is not None:
            run.epoch, run.best, run.average, self.final = epoch - 1, self.good, None, {}
            last = self.checkpoint()
        lower = f" or a rho below {config.rho:g}" if RECIPES[config.recipe].method == "sam" else ""
        return DivergedError(
            f"the loss of {config.recipe} became {loss} in epoch {epoch} of {config.epochs}; "
            f"take an lr below {config.lr:g}{lower}",
            last,
        )


def _length(cut: slice) -> int:
    length: int = cut.stop - cut.start
    return length


def _named(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    return {
        f"{split}_{metric}": value
        for split, evaluation in evaluations.items()
        for metric, value in evaluation._asdict().items()
    }
