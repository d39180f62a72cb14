"""Frame of every analysis command: models, the analysis file, warnings, and the next step."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from landscape.analysis.operators.determinism import LossWarning
from landscape.cli.options.analysis import AnalysisOptions
from landscape.cli.options.execution import ExecutionOptions
from landscape.cli.requests.execution import workers_of
from landscape.cli.requests.source import check_source, data_spec, model_spec, sample_of
from landscape.cli.terminal import console
from landscape.cli.terminal.warned import in_one_line
from landscape.errors import WorkerWarning
from landscape.execution import Workers
from landscape.execution import open as open_workers
from landscape.execution.allocator import tune_allocator
from landscape.storage.result_file import ResultFile
from landscape.storage.user_path import user_path
from landscape.workflow.plan import PlannedOnly
from landscape.workflow.runner import Runner
from landscape.workflow.sources.history import stage_history
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.sources.loading import load_models


@dataclass(frozen=True)
class Session:
    """The models of a command, the runner of its measurements, and the workers that share them."""

    models: list[LoadedModel]
    runner: Runner
    workers: Workers


@contextmanager
def session(options: AnalysisOptions) -> Iterator[Session]:
    """Load the checkpoints of a command and open its analysis file; print the next step at the end.

    Raises:
        LandscapeError: for impossible options, anything unreadable, or data that does not fit a checkpoint.
    """
    tune_allocator()
    check_source(options)
    workers = workers_of(options, options.device) if isinstance(options, ExecutionOptions) else open_workers()
    with workers, suppress(PlannedOnly):
        yield from _session(options, workers)


def _session(options: AnalysisOptions, workers: Workers) -> Iterator[Session]:
    models = load(options)
    path = user_path(options.out) if options.out is not None else default_out([model.label for model in models])
    lock = os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0")  # the variable of HDF5 itself
    if not lock:
        console.warn(f"{path} is written without a lock: a second command that writes to it now would lose results")
    with ResultFile(path, lock=lock) as file, in_one_line(LossWarning), in_one_line(WorkerWarning):
        for model in models:
            stage_history(file, model)
        runner = Runner(
            file,
            reporter=console,
            overwrite=options.overwrite,
            command=console.recorded_command(),
            plan_for=workers if isinstance(options, ExecutionOptions) and options.dry_run else None,
        )
        yield Session(models, runner, workers)
        wrote = f"wrote {file.path}; " if file.written else ""
        console.say(f"{wrote}next: landscape report {shlex.quote(str(file.path))} --open")


def load(options: AnalysisOptions) -> list[LoadedModel]:
    """Return the checkpoints or weight files of a command with their data."""
    return load_models(
        [user_path(path) for path in options.checkpoints],
        model=model_spec(options),
        data=data_spec(options),
        sample=sample_of(options),
        metrics=getattr(options, "user_metrics", ()),
        reporter=console,
    )


def default_out(labels: Sequence[str]) -> Path:
    """Return results/<labels>.h5, the same for all analyses of the same checkpoints."""
    stem = "+".join(labels).encode()[:120].decode(errors="ignore")  # a file's name has at most 255 bytes
    return Path("results") / f"{stem}.h5"
