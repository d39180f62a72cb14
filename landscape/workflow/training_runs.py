"""Several training runs, one after another or shared by workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from landscape.data import Dataset
from landscape.execution import Workers
from landscape.execution.device import choose_device
from landscape.models.checkpoint import Checkpoint, load_checkpoint
from landscape.storage.atomic_write import write_atomically
from landscape.training import PAIRS, TrainConfig, pair_members, resolve
from landscape.workflow.reporter import Reporter
from landscape.workflow.training import TrainingOptions, train_or_resume, with_recorded_precision


class RunRequest(NamedTuple):
    """A request: a configuration, and the absolute paths of its checkpoints by recipe."""

    config: TrainConfig
    paths: Mapping[str, Path]


class FinishedRun(NamedTuple):
    """The checkpoints of a run as the bytes of their files: a worker may not share the file system."""

    seed: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class TrainingTask:
    """Training runs on one data set as requests, and their checkpoints as results."""

    dataset: Dataset
    options: TrainingOptions
    device: str
    threads: int

    def __call__(self, requests: Iterable[RunRequest]) -> Iterator[FinishedRun]:
        """Yield the checkpoints of each run."""
        for config, paths in requests:
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)  # on another machine
            train_or_resume(config, self.dataset, paths, options=self.options)
            yield FinishedRun(config.seed, {recipe: path.read_bytes() for recipe, path in paths.items()})

    def portable(self) -> PortableTraining:
        """Return the data and the options."""
        return PortableTraining(dataclasses.replace(self.dataset), self.options, self.threads)


@dataclass(frozen=True)
class PortableTraining:
    """Parts of a training task, on the CPU."""

    dataset: Dataset
    options: TrainingOptions
    threads: int

    def assemble(self, device: str) -> Callable[[Iterable[RunRequest]], Iterator[FinishedRun]]:
        """Return the task's function, whose runs use this device."""
        task = TrainingTask(self.dataset, self.options, device, self.threads)
        return lambda runs: task(run._replace(config=dataclasses.replace(run.config, device=device)) for run in runs)


def train_seeds(
    config: TrainConfig,
    dataset: Dataset,
    paths: Mapping[int, Mapping[str, Path]],
    *,
    options: TrainingOptions,
    workers: Workers,
    reporter: Reporter,
) -> dict[tuple[str, int], Checkpoint]:
    """Train a configuration with several seeds, and return the checkpoints by recipe and seed.

    Finished checkpoints are reused and unfinished runs resumed, as `train_or_resume` does. Workers write unfinished
    runs to the same paths: on several machines a run is resumed elsewhere if they share a file system.

    Args:
        config: of all runs but for the seed.
        dataset: train and test splits.
        paths: of each checkpoint by seed and recipe; see `prepare_paths`.
        options: of the runs.
        workers: that share the runs.
        reporter: receives messages and progress.
    """
    if workers.is_inline:
        return {
            (recipe, seed): checkpoint
            for seed, members in paths.items()
            for recipe, checkpoint in train_or_resume(
                dataclasses.replace(config, seed=seed), dataset, members, options=options, reporter=reporter
            ).items()
        }
    runs = list(_runs(config, dataset, paths, options))
    task = TrainingTask(dataset, options, str(choose_device(config.device)), workers.threads)
    reporter.say(f"{len(runs)} runs on {min(len(runs), workers.count)} workers of {task.threads} threads")
    with reporter.progress("runs", len(runs)) as advance:
        for seed, files in workers.map(task, runs):
            _write_missing(paths[seed], files)
            advance(1, f"{' '.join(files)}, seed {seed}, is done")
    return {(r, seed): load_checkpoint(path) for seed, members in paths.items() for r, path in members.items()}


def report_training_plan(
    config: TrainConfig,
    dataset: Dataset,
    paths: Mapping[int, Mapping[str, Path]],
    *,
    options: TrainingOptions,
    workers: Workers,
    reporter: Reporter,
) -> None:
    """Report the number of runs and their steps, and the bytes sent to workers; the arguments are `train_seeds`'."""
    runs = list(_runs(dataclasses.replace(config, precision="float32"), dataset, paths, options))
    steps = sum(run.config.epochs * -(-len(dataset.splits["train"]) // run.config.batch_size) for run in runs)
    rounds = -(-len(runs) // workers.count)
    parts = [f"{len(runs)} runs, {steps:,} steps", f"{workers.count} workers, {rounds} runs one after another on each"]
    if not workers.is_inline:
        size = sum(split.inputs.nbytes + split.labels.nbytes for split in dataset.splits.values())
        parts.append(f"{size / 1e6:,.1f} MB to each {workers.destination}")
    reporter.say("; ".join(parts))


def _runs(
    config: TrainConfig, dataset: Dataset, paths: Mapping[int, Mapping[str, Path]], options: TrainingOptions
) -> Iterator[RunRequest]:
    """Yield every run of every seed, the members of pairs apart, in one precision."""
    by_name = {f"{recipe} {seed}": path for seed, members in paths.items() for recipe, path in members.items()}
    config = with_recorded_precision(config, by_name, overwrite=options.overwrite)
    is_pair = config.recipe in PAIRS
    members = list(pair_members(config, equal_epochs=options.equal_epochs)) if is_pair else [config]
    if config.precision == "auto":  # it is timed, and could differ from worker to worker
        precision = resolve(members[0], dataset).precision
        members = [dataclasses.replace(member, precision=precision) for member in members]
    for seed, of_seed in paths.items():
        for member in members:
            path = of_seed[member.recipe].resolve()
            yield RunRequest(dataclasses.replace(member, seed=seed), {member.recipe: path})


def _write_missing(paths: Mapping[str, Path], files: Mapping[str, bytes]) -> None:
    """Write the checkpoints that are not on this file system, or are others there."""
    for recipe, content in files.items():
        path = paths[recipe]
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, partial(_write, content))


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
