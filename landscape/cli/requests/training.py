"""Training with progress on the terminal: places checked first, what is there used, each checkpoint saved when done."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.storage.user_path import make_writable_folder, refuse_special

if TYPE_CHECKING:
    from landscape.data import Dataset
    from landscape.models.checkpoint import Checkpoint
    from landscape.training import EpochReport, TrainConfig


def partial(path: Path) -> Path:
    """Return where the unfinished run of a checkpoint is kept."""
    return path.with_name(f"{path.name}.partial")


def snapshot_folder(path: Path) -> Path:
    """Return where the snapshots of a checkpoint's run are kept."""
    return path.with_name(f"{path.stem}-snapshots")


@contextmanager
def _alone_with(state: Path) -> Iterator[None]:
    """Keep other commands from the same unfinished run: two would each write over what the other keeps.

    Raises:
        LandscapeError: where another one is at it.
    """
    import filelock

    from landscape.storage.atomic_write import remove_temporaries
    from landscape.storage.lock import Lock

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
        console.warn(f"{state.parent} has no file locks: do not train {state.with_suffix('').name} twice at a time")
    try:
        yield
    finally:
        lock.release()


def check_places(paths: Iterable[Path]) -> None:
    """Make the folders that checkpoints go to, and see that they can be written before hours of training.

    Raises:
        LandscapeError: where they cannot, or something else than a checkpoint is in the way.
    """
    from landscape.models.checkpoint import is_checkpoint

    for path in paths:
        state = partial(path)
        for name in (path, state, Path(f"{state}.lock"), snapshot_folder(path)):  # the longer ones may be too long
            refuse_special(name)
        if path.is_dir():
            raise LandscapeError(f"cannot write {path}: a folder is there; give another --out")
        if path.exists() and not is_checkpoint(path):
            raise LandscapeError(f"{path} is there already and is no landscape checkpoint; give another --out")
        make_writable_folder(path)


def fit(
    config: TrainConfig,
    dataset: Dataset,
    paths: Mapping[str, Path],
    *,
    equal_epochs: bool = False,
    overwrite: bool = False,
    snapshots: bool = False,
) -> dict[str, Checkpoint]:
    """Train one recipe or both members of a pair with progress, save each checkpoint as it is done, and return them.

    What an earlier run with the same settings left is used, finished or not, so that what was stopped goes on.

    Raises:
        LandscapeError: where a checkpoint of other settings is in the way, and `overwrite` is not set.
    """
    from landscape.models.checkpoint import load_checkpoint
    from landscape.training import PAIRS, resolve, resolve_pair
    from landscape.training.distributed import process_group

    there = {recipe: load_checkpoint(path) for recipe, path in paths.items() if path.exists() and not overwrite}
    config = _as_begun(config, there, paths, overwrite=overwrite)
    members = (
        resolve_pair(config, dataset, equal_epochs=equal_epochs)
        if config.recipe in PAIRS
        else (resolve(config, dataset),)
    )
    for member in members:
        if member.recipe in there:
            difference = _difference(there[member.recipe], member, dataset)
            if difference is not None:
                raise LandscapeError(
                    f"{paths[member.recipe]} is there already with other settings: {difference}; "
                    "give another --out, or --overwrite it"
                )
    process_group().barrier()  # until every process has seen what is there
    trained: dict[str, Checkpoint] = {}
    for member in members:
        path = paths[member.recipe]
        if member.recipe in there:
            console.say(f"{member.recipe}: {path} is there already with these settings")
            trained[member.recipe] = there[member.recipe]
        else:
            trained[member.recipe] = _fit_one(member, dataset, path, overwrite=overwrite, snapshots=snapshots)
    return trained


def _as_begun(
    config: TrainConfig, there: Mapping[str, Checkpoint], paths: Mapping[str, Path], *, overwrite: bool
) -> TrainConfig:
    """Return the configuration with the precision an earlier run measured to be faster, where it is left open."""
    from landscape.training.recipes import Precision
    from landscape.training.run import settings_of

    if config.precision != "auto":
        return config
    begun = [checkpoint.training for checkpoint in there.values()]
    if not overwrite:
        begun += [settings_of(partial(path)) for path in paths.values() if partial(path).exists()]
    precision: Any = begun[0].get("precision") if begun else None
    return dataclasses.replace(config, precision=precision) if precision in get_args(Precision) else config


def _fit_one(config: TrainConfig, dataset: Dataset, path: Path, *, overwrite: bool, snapshots: bool) -> Checkpoint:
    from landscape.training.distributed import process_group

    with _alone_with(partial(path)) if process_group().is_main else nullcontext():
        return _fit_alone(config, dataset, path, overwrite=overwrite, snapshots=snapshots)


def _fit_alone(config: TrainConfig, dataset: Dataset, path: Path, *, overwrite: bool, snapshots: bool) -> Checkpoint:
    from landscape.models.checkpoint import save_checkpoint
    from landscape.training import DivergedError, train
    from landscape.training.distributed import process_group

    group = process_group()
    state, folder = partial(path), snapshot_folder(path)
    if overwrite and group.is_main:
        state.unlink(missing_ok=True)
        if snapshots and folder.is_dir():
            shutil.rmtree(folder)
    group.barrier()
    console.say(
        f"{config.recipe}: {config.model} for {config.epochs} epochs of {len(dataset.splits['train'])} examples "
        f"in {config.precision} on {config.device}, seed {config.seed}"
        + (f", going on from {state}" if state.exists() else "")
    )
    try:
        with _progress(config) as callbacks:
            checkpoint = train(
                config,
                dataset,
                state=state,
                snapshots=folder if snapshots else None,
                command=console.recorded_command(),
                **callbacks,
            )
    except DivergedError as error:
        if group.is_main:
            state.unlink(missing_ok=True)  # it would only lead here again
            if error.last is not None:
                last = path.with_name(f"{path.stem}-epoch{error.last.training['epochs_taken']}.pt")
                save_checkpoint(error.last, last)
                raise LandscapeError(f"{error}; the weights before that epoch are in {last}") from error
        raise
    if group.is_main:
        save_checkpoint(checkpoint, path)
        state.unlink(missing_ok=True)
    group.barrier()
    console.say(f"wrote {path}")
    return checkpoint


def _difference(there: Checkpoint, config: TrainConfig, dataset: Dataset) -> str | None:
    """Return in what a checkpoint differs from what would be trained now; None where in nothing."""
    from landscape.training.settings import with_validation

    described = with_validation(config, dataset).describe()
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


@contextmanager
def _progress(config: TrainConfig) -> Iterator[dict[str, Any]]:
    with console.progress(f"{config.recipe}: steps", None) as advance:
        note, seen = "", 0

        def on_step(done: int, total: int) -> None:
            nonlocal seen
            advance(done - seen, note, total=total)
            seen = done

        def on_epoch(report: EpochReport) -> None:
            nonlocal note
            split = next(s for s in ("validation", "test", "train") if f"{s}_accuracy" in report.row)
            accuracy = report.row[f"{split}_accuracy"]
            rate = f"{report.images_per_second:,.0f} images/s"
            note = f"epoch {report.epoch}/{report.epochs}, {split} {accuracy:.1%}, {rate}"
            advance(0, note)

        yield {"on_step": on_step, "on_epoch": on_epoch}
