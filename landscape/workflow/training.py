"""Training runs that resume: paths checked first, existing checkpoints reused, each new one saved when it is done."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_args

import filelock

from landscape.data import Dataset
from landscape.errors import LandscapeError
from landscape.models.checkpoint import Checkpoint, is_checkpoint, load_checkpoint, save_checkpoint
from landscape.storage.atomic_write import remove_temporaries
from landscape.storage.lock import Lock
from landscape.storage.user_path import make_writable_folder, refuse_special
from landscape.training import PAIRS, DivergedError, EpochReport, TrainConfig, resolve, resolve_pair, train
from landscape.training.config.parts import Precision
from landscape.training.distributed import process_group
from landscape.training.run import settings_of
from landscape.training.settings import with_validation
from landscape.workflow.monitoring import MonitorOptions, monitor_of
from landscape.workflow.reporter import Quiet, Reporter


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of a run beside its configuration.

    Args:
        equal_epochs: train both members of a pair for the same number of epochs.
        overwrite: train again, and replace existing checkpoints and unfinished runs.
        snapshots: store the weights of each epoch beside the checkpoint.
        command: recorded with the checkpoint, to repeat the run.
        monitor: measures taken while training; None for none.
    """

    equal_epochs: bool = False
    overwrite: bool = False
    snapshots: bool = False
    command: str = ""
    monitor: MonitorOptions | None = None


def unfinished_path(path: Path) -> Path:
    """Return the path of a checkpoint's unfinished run."""
    return path.with_name(f"{path.name}.partial")


def snapshot_folder(path: Path) -> Path:
    """Return the folder of the snapshots of a checkpoint's run."""
    return path.with_name(f"{path.stem}-snapshots")


def prepare_paths(paths: Iterable[Path]) -> None:
    """Make the folders of checkpoints, and check that they can be written before hours of training.

    Raises:
        LandscapeError: if one cannot, or if its path is that of anything but a checkpoint.
    """
    for path in paths:
        state = unfinished_path(path)
        for name in (path, state, Path(f"{state}.lock"), snapshot_folder(path)):  # the longer ones may be too long
            refuse_special(name)
        if path.is_dir():
            raise LandscapeError(f"cannot write {path}: it is a folder; give another --out")
        if path.exists() and not is_checkpoint(path):
            raise LandscapeError(f"{path} exists and is no landscape checkpoint; give another --out")
        make_writable_folder(path)


def train_or_resume(
    config: TrainConfig,
    dataset: Dataset,
    paths: Mapping[str, Path],
    *,
    options: TrainingOptions | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Checkpoint]:
    """Train one recipe or both members of a pair, save each checkpoint, and return them by recipe.

    A finished checkpoint with the same settings is reused, an unfinished run is resumed.

    Args:
        config: of the training; its recipe may be a pair.
        dataset: train and test splits.
        paths: of each checkpoint, by recipe; see `prepare_paths`.
        options: of the run; the defaults if None.
        reporter: receives messages and progress; none by default.

    Raises:
        LandscapeError: if a checkpoint with other settings exists and is not to be overwritten.
    """
    options, reporter = options or TrainingOptions(), reporter or Quiet()
    overwrite = options.overwrite
    existing = {recipe: load_checkpoint(path) for recipe, path in paths.items() if path.exists() and not overwrite}
    config = with_recorded_precision(config, paths, overwrite=overwrite)
    members = (
        resolve_pair(config, dataset, equal_epochs=options.equal_epochs)
        if config.recipe in PAIRS
        else (resolve(config, dataset),)
    )
    for member in members:
        if member.recipe in existing:
            difference = _difference(existing[member.recipe], member, dataset)
            if difference is not None:
                raise LandscapeError(
                    f"{paths[member.recipe]} already exists with other settings: {difference}; "
                    "give another --out, or --overwrite it"
                )
    process_group().barrier()  # until every process has seen which checkpoints exist
    trained: dict[str, Checkpoint] = {}
    for member in members:
        path = paths[member.recipe]
        if member.recipe in existing:
            reporter.say(f"{member.recipe}: {path} already exists with these settings")
            trained[member.recipe] = existing[member.recipe]
        else:
            lock = _locked(unfinished_path(path), reporter) if process_group().is_main else nullcontext()
            with lock:
                trained[member.recipe] = _train(member, dataset, path, options, reporter)
    return trained


@contextmanager
def _locked(state: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of an unfinished run, which two commands would overwrite for each other.

    Raises:
        LandscapeError: if another command holds it.
    """
    lock = Lock(f"{state}.lock")
    try:
        lock.acquire()
        remove_temporaries(state)
        remove_temporaries(state.with_suffix(""))
    except filelock.Timeout as error:
        raise LandscapeError(
            f"another landscape command is training {state.with_suffix('')} right now; wait, or give another --out"
        ) from error
    except (OSError, NotImplementedError):  # a file system without locks
        reporter.warn(f"{state.parent} has no file locks: do not train {state.with_suffix('').name} twice at a time")
    try:
        yield
    finally:
        lock.release()


def with_recorded_precision(config: TrainConfig, paths: Mapping[str, Path], *, overwrite: bool) -> TrainConfig:
    """Return the configuration, "auto" replaced by the precision that an earlier run measured to be faster."""
    if config.precision != "auto" or overwrite:
        return config
    finished = (load_checkpoint(path).training for path in paths.values() if path.exists())
    unfinished = (settings_of(state) for state in map(unfinished_path, paths.values()) if state.exists())
    earlier = next(itertools.chain(finished, unfinished), {})
    precision: Any = earlier.get("precision")
    return dataclasses.replace(config, precision=precision) if precision in get_args(Precision) else config


def _train(
    config: TrainConfig, dataset: Dataset, path: Path, options: TrainingOptions, reporter: Reporter
) -> Checkpoint:
    """Train one recipe, resuming an unfinished run, and save the checkpoint."""
    group = process_group()
    state, folder = unfinished_path(path), snapshot_folder(path)
    if options.overwrite and group.is_main:
        state.unlink(missing_ok=True)
        if options.snapshots and folder.is_dir():
            shutil.rmtree(folder)
    group.barrier()
    reporter.say(
        f"{config.recipe}: {config.model} for {config.epochs} epochs of {len(dataset.splits['train'])} examples "
        f"in {config.precision} on {config.device}, seed {config.seed}"
        + (f", from {config.start.path}" if config.start else "")
        + (f", resuming from {state}" if state.exists() else "")
    )
    on_update = None
    if options.monitor is not None and group.is_main:
        monitor = monitor_of(config, dataset, path, options.monitor, overwrite=options.overwrite)
        reporter.say(f"{config.recipe}: a probe every {monitor.every} steps, stored in {monitor.file}")
        on_update = monitor.step
    try:
        with _progress(config, reporter) as callbacks:
            checkpoint = train(
                config,
                dataset,
                state=state,
                snapshots=folder if options.snapshots else None,
                command=options.command,
                on_update=on_update,
                **callbacks,
            )
    except DivergedError as error:
        if group.is_main:
            state.unlink(missing_ok=True)  # resuming it would diverge again
            if error.last is not None:
                last = path.with_name(f"{path.stem}-epoch{error.last.training['epochs_taken']}.pt")
                save_checkpoint(error.last, last)
                raise LandscapeError(f"{error}; the weights before that epoch are in {last}") from error
        raise
    if group.is_main:
        save_checkpoint(checkpoint, path)
        state.unlink(missing_ok=True)
    group.barrier()
    reporter.say(f"wrote {path}")
    return checkpoint


_ADDED = {"sam_from": 1, "friendly": 0.0, "rho_schedule": "constant", "rho_min": 0.0}  # older checkpoints lack them


def _difference(stored: Checkpoint, config: TrainConfig, dataset: Dataset) -> str | None:
    """Return the first setting in which a checkpoint differs from a new run; None if there is none."""
    described = with_validation(config, dataset).describe()
    added = _ADDED if stored.training.get("method") == "sam" else {}
    training: dict[str, Any] = {"start": None, **added, **stored.training}
    pairs: dict[str, tuple[Any, Any]] = {
        "model": (stored.model, config.model),
        "model_arguments": (stored.model_arguments, dict(config.model_arguments)),
        **{
            name: (stored.data.get(key), described[key])
            for name, key in (("the data", "fingerprints"), ("mean", "mean"), ("std", "std"))
        },
        **{
            name: (training[name], value)
            for name, value in config.recorded().items()
            if name in training and (name != "rho" or training["rho"] is not None)
        },
    }
    for name, (old, new) in pairs.items():
        if old != new:
            return "the data differ" if name == "the data" else f"{name} is {old} there and {new} here"
    return None


@contextmanager
def _progress(config: TrainConfig, reporter: Reporter) -> Iterator[dict[str, Any]]:
    """Yield the callbacks of `train` that report steps and epochs."""
    with reporter.progress(f"{config.recipe}: steps", None) as advance:
        note, reported = "", 0

        def on_step(done: int, total: int) -> None:
            nonlocal reported
            advance(done - reported, note, total=total)
            reported = done

        def on_epoch(report: EpochReport) -> None:
            nonlocal note
            split = next(s for s in ("validation", "test", "train") if f"{s}_accuracy" in report.row)
            accuracy = report.row[f"{split}_accuracy"]
            rate = f"{report.images_per_second:,.0f} images/s"
            note = f"epoch {report.epoch}/{report.epochs}, {split} {accuracy:.1%}, {rate}"
            advance(0, note)

        yield {"on_step": on_step, "on_epoch": on_epoch}
