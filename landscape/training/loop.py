"""The training loop: data on the device, no synchronization per step, resumable after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from landscape.data import Dataset, quota_subset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint
from landscape.training.averaging import averages_after_epoch, averages_after_step, recalibrate, update_average
from landscape.training.callbacks import EpochReport, OnStep, OnUpdate
from landscape.training.config.recipes import RECIPES, ResolvedConfig, TrainConfig
from landscape.training.config.schedule import learning_rate
from landscape.training.distributed import ProcessGroup, process_group
from landscape.training.evaluation import LossAndAccuracy, autocast, evaluate
from landscape.training.make_checkpoint import make_checkpoint
from landscape.training.pipeline.augment import Augmentation, choose_augmentation, draw_augmentation
from landscape.training.pipeline.device_dataset import DeviceDataset
from landscape.training.pipeline.shuffling import batch_slices, epoch_order
from landscape.training.run import TrainingRun
from landscape.training.settings import resolve, seeded, with_validation
from landscape.training.snapshots import write_second_moments, write_snapshot
from landscape.training.step import Step

HISTORY_SEED = 0
SAVE_SECONDS = 60.0  # between writes of the file of an unfinished run, besides the ends of epochs


class DivergedError(LandscapeError):
    """A loss became infinite or NaN; `last` is the checkpoint after the last epoch with finite losses, if any."""

    def __init__(self, message: str, last: Checkpoint | None) -> None:
        super().__init__(message)
        self.last = last


def train(
    config: TrainConfig,
    dataset: Dataset,
    *,
    state: str | Path | None = None,
    snapshots: str | Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_step: OnStep | None = None,
    on_update: OnUpdate | None = None,
    command: str = "",
) -> Checkpoint:
    """Train a model and return it as a checkpoint, with its history and its float32 losses and accuracies.

    The order of the examples and their augmentation depend on the seed and the epoch alone. On a CPU, the same
    configuration (with a precision other than "auto") and number of threads give the same weights bit for bit, also if
    the run is killed and resumed. The caller's random generators are not used.

    The losses of the history are un-augmented and in evaluation mode, in the training precision and on
    `history_examples` of the training examples; those of the last epoch are the final ones, in float32 on all examples.

    In a process group (torchrun's, see `join_process_group`) each process computes its share of every batch.

    >>> from landscape.data import Dataset, Split
    >>> inputs = torch.randint(0, 255, (16, 1, 8, 8), dtype=torch.uint8)
    >>> data = Dataset("example", {"train": Split(inputs, torch.arange(16) % 2)}, ("even", "odd"))
    >>> checkpoint = train(TrainConfig(recipe="sam", epochs=1, batch_size=8, device="cpu", precision="float32"), data)
    >>> sorted(checkpoint.final)
    ['train_accuracy', 'train_loss']

    Args:
        config: the recipe and its settings.
        dataset: splits of examples; its split `train` is trained on, all are evaluated.
        state: file of the unfinished run, written every minute and after each epoch, and resumed if it exists. The
            caller removes it after saving the checkpoint.
        snapshots: folder for the weights before the first and after each epoch.
        on_epoch: called after each epoch.
        on_step: called after each step with the number of finished steps and of all steps of the run.
        on_update: called after each step, in the main process, with the number of finished steps, the model and the
            optimizer, such as the method `step` of `landscape.Monitor`; it must not change them.
        command: command line that repeats this run, for the provenance; without absolute paths.

    Raises:
        DivergedError: if a loss becomes infinite or NaN.
        LandscapeError: for a pair, settings that do not fit the data, or a state of another run.
    """
    resolved = resolve(config, dataset)
    loop = _Loop(resolved, with_validation(resolved, dataset), Path(state) if state else None, command)
    with seeded(config.seed + 1_000_003 * loop.group.rank, loop.device):  # for dropout
        loop.begin(Path(snapshots) if snapshots else None)
        while not loop.run.is_finished:
            loop.train_epoch(on_step, on_update)
            report = loop.finish_epoch()
            if on_epoch:
                on_epoch(report)
        return loop.checkpoint()


class _Loop:
    """A run with its data on the device and its file."""

    def __init__(self, config: ResolvedConfig, dataset: Dataset, state: Path | None, command: str) -> None:
        self.config, self.dataset, self.state, self.command = config, dataset, state, command
        self.snapshots: Path | None = None
        self.last_finite: dict[str, Tensor] | None = None  # weights after the last epoch with finite losses
        self.final: dict[str, float] = {}  # float32 losses and accuracies, once measured
        self.group = process_group()
        self.device = torch.device(config.device)
        self.augmentation: Augmentation | None = choose_augmentation(
            config.augment,
            dataset.kind,
            dataset.input_shape,
            is_images=dataset.is_images,
            brightness=config.brightness,
            cutout=config.cutout,
        )
        self.data = {
            split: DeviceDataset(dataset, split, self.device, augmentation=augmentation)
            for split in dataset.splits
            for augmentation in [self.augmentation if split == "train" else None]
        }
        examples = len(self.data["train"])
        self.batches = batch_slices(examples, config.batch_size, processes=self.group.size)
        self.steps = config.epochs * len(self.batches)
        self.history_indices: Tensor | None = None  # training examples of the history; None for all
        if config.history_examples < examples:
            labels = dataset.splits["train"].labels
            self.history_indices = quota_subset(labels, config.history_examples, HISTORY_SEED)
        self.run = TrainingRun(config, dataset, self.group)
        self.step = Step(self.run)

    def begin(self, snapshots: Path | None) -> None:
        """Resume from the stored state, or start with a snapshot of the initial weights."""
        self.snapshots = snapshots
        if self.state is not None and self.state.exists():
            self.run.restore(self.state, steps=len(self.batches))
            self.last_finite = self.run.weights() if self.run.epoch and not self.run.step else None
        else:
            self._snapshot()
        self.clock = self.saved = time.perf_counter()

    def train_epoch(self, on_step: OnStep | None, on_update: OnUpdate | None) -> None:
        """Take the remaining steps of the current epoch."""
        run, epoch = self.run, self.run.epoch + 1
        self.epoch_start, self.first_step = time.perf_counter(), run.step
        steps_before = run.epoch * len(self.batches)
        for inputs, labels in self._batches(epoch, self.batches[run.step :], self.group):
            whole, step = self.batches[run.step], steps_before + run.step
            share = self.group.size * len(labels) / (whole.stop - whole.start)
            progress = step / max(1, self.steps - 1)
            run.losses += self.step(inputs, labels, lr=self._learning_rate(step), share=share, progress=progress)
            if run.average is not None and averages_after_step(self.config):
                update_average(run.average, run.model)
            run.step += 1
            if on_update and self.group.is_main:
                on_update(steps_before + run.step, run.model, run.optimizer)
            if on_step:
                on_step(steps_before + run.step, self.steps)
            if time.perf_counter() - self.saved > SAVE_SECONDS:
                self._save()

    def finish_epoch(self) -> EpochReport:
        """Evaluate the epoch, add it to the history and store the state."""
        run, config = self.run, self.config
        trained = self.batches[self.first_step :]
        loss = self.group.sum(run.losses.clone()).item() / self.group.size / len(self.batches)
        seconds = time.perf_counter() - self.epoch_start  # `item` waited for the steps that a GPU still had queued
        run.epoch, run.step = run.epoch + 1, 0
        run.losses.zero_()
        if run.average is not None and averages_after_epoch(config, run.epoch):
            update_average(run.average, run.model)
        evaluations = {} if not math.isfinite(loss) else self._measure_epoch()
        nonfinite = [value for value in (loss, *evaluations.values()) if not math.isfinite(value)]
        if nonfinite:
            raise self._diverged(nonfinite[0])
        row = {
            "epoch": float(run.epoch),
            **evaluations,
            "learning_rate": float(run.optimizer.param_groups[0]["lr"]),
            "gradient_evaluations": float(run.evaluated),
            "seconds": self._seconds(),
        }
        for column, value in row.items():
            run.history.setdefault(column, []).append(value)
        if run.plateau is not None:
            run.plateau.step(evaluations.get("validation_loss", evaluations["train_loss"]))
        run.remember_best()
        self.last_finite = run.weights()
        self._snapshot()
        self._save()
        rate = sum(batch.stop - batch.start for batch in trained) / seconds
        return EpochReport(config.recipe, run.epoch, config.epochs, row, rate)

    def checkpoint(self) -> Checkpoint:
        """Return the final weights (the average or the best, if any), evaluated in float32 on all examples."""
        run, model = self.run, self.run.model
        if run.best is not None:
            model.load_state_dict(run.best)
        if run.average is not None:
            model.load_state_dict(run.average.module.state_dict())
            with torch.no_grad(), autocast(self.device, self.config.precision):
                recalibrate(model, (inputs for inputs, _ in self._batches(run.epoch + 1, self.batches, ProcessGroup())))
        final = self.final or self._measure("float32", None)
        seconds = self._seconds()
        return make_checkpoint(run, self.dataset, self.data["train"], final, seconds=seconds, command=self.command)

    def _batches(self, epoch: int, batches: list[slice], group: ProcessGroup) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a process's shard of the batches of an epoch (1 … epochs), augmented."""
        data, seed = self.data["train"], self.config.seed
        order = epoch_order(len(data), seed=seed, epoch=epoch, device=self.device)
        draws = None
        if self.augmentation:
            size = data.image_size
            draws = draw_augmentation(self.augmentation, len(data), size, seed=seed, epoch=epoch, device=self.device)
        for shard in map(group.shard, batches):
            yield data.augmented_batch(order[shard], draws[shard]) if draws else data.batch(order[shard])

    def _learning_rate(self, step: int) -> float | None:
        """Return the learning rate of a step; None if the validation loss determines it."""
        config = self.config
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
        """Return the losses and accuracies after an epoch, in float32 on all examples for the final weights."""
        run, config = self.run, self.config
        if run.epoch < config.epochs or run.average is not None or config.patience:
            return self._measure(config.precision, self.history_indices)
        self.final = self._measure("float32", None)
        return self.final

    def _measure(self, precision: str, train_indices: Tensor | None) -> dict[str, float]:
        evaluations: dict[str, LossAndAccuracy] = {}
        for split, data in self.data.items():
            indices = train_indices if split == "train" else None
            evaluations[split] = evaluate(self.run.model, data, precision=precision, indices=indices, group=self.group)
        return {
            f"{split}_{metric}": value
            for split, evaluation in evaluations.items()
            for metric, value in evaluation._asdict().items()
        }

    def _seconds(self) -> float:
        """Return the duration of the run so far, and restart the clock."""
        now = time.perf_counter()
        self.run.seconds, self.clock = self.run.seconds + now - self.clock, now
        return self.run.seconds

    def _save(self) -> None:
        self.saved = time.perf_counter()
        self._seconds()
        if self.state is not None and self.group.is_main:
            self.run.save(self.state)

    def _snapshot(self) -> None:
        if self.snapshots is not None and self.group.is_main:
            metadata = {"model": self.config.model, "recipe": self.config.recipe, "seed": str(self.config.seed)}
            path = write_snapshot(self.run.model, self.snapshots, self.run.epoch, metadata)
            write_second_moments(self.run.optimizer, self.run.model, path)

    def _diverged(self, loss: float) -> DivergedError:
        """Return the error, with the weights after the last epoch with finite losses as a checkpoint, if any."""
        config, run, epoch = self.config, self.run, self.run.epoch
        last = None
        if self.last_finite is not None:
            run.epoch, run.best, run.average, self.final = epoch - 1, self.last_finite, None, {}
            last = self.checkpoint()
        lower = f" or a rho below {config.rho:g}" if RECIPES[config.recipe].method == "sam" else ""
        return DivergedError(
            f"the loss of {config.recipe} became {loss} in epoch {epoch} of {config.epochs}; "
            f"take an lr below {config.lr:g}{lower}",
            last,
        )
