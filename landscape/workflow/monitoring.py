"""The monitor of a training run of ours: on a sample of its training images, in its checkpoint's analysis file."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from landscape.analysis.objective.objective import Objective
from landscape.data import Dataset, stratified_subset
from landscape.errors import LandscapeError
from landscape.monitoring import Monitor, MonitorMeasure, SamDoctor
from landscape.monitoring.measures.registry import chosen_measures
from landscape.training import ResolvedConfig, TrainConfig, resolve
from landscape.training.settings import initial_model, with_validation


@dataclass(frozen=True)
class MonitorOptions:
    """Measures of the monitor of a training run, and how often they are taken.

    Args:
        measures: names, such as "lambda_max".
        epochs: between probes; a fraction probes several times an epoch.
        examples: of the training split, a stratified sample.
        folder: of the analysis files, `<folder>/<checkpoint>.h5`.
    """

    measures: tuple[str, ...]
    epochs: float = 1.0
    examples: int = 1000
    folder: Path = Path("results")

    def __post_init__(self) -> None:
        chosen_measures(self.measures)
        if not 0 < self.epochs < math.inf:
            raise LandscapeError(f"expected a positive number of epochs between probes, got {self.epochs:g}")


def monitor_of(
    config: TrainConfig, dataset: Dataset, path: Path, options: MonitorOptions, *, overwrite: bool = False
) -> Monitor:
    """Return the monitor of a run; after a stop it continues the stored result.

    Args:
        config: of the run.
        dataset: that it is trained on.
        path: of its checkpoint.
        options: of the monitor.
        overwrite: measure anew, and replace an earlier run's result.
    """
    resolved = resolve(config, dataset)
    training = with_validation(resolved, dataset).splits["train"]
    chosen = stratified_subset(training.labels, min(options.examples, len(training)), config.seed)
    objective = Objective(
        initial_model(resolved),
        "cross_entropy",
        {"train": (training.inputs[chosen], training.labels[chosen])},
        device=torch.device(resolved.device),
        preprocess=dataset.preprocess,
    )
    steps = math.ceil(len(training) / config.batch_size)
    return Monitor(
        objective,
        every=max(1, round(options.epochs * steps)),
        measures=[_for_run(measure, resolved) for measure in chosen_measures(options.measures)],
        file=options.folder / f"{path.stem}.h5",
        name=f"{path.stem}/monitor",
        seed=config.seed,
        overwrite=overwrite,
    )


def _for_run(measure: MonitorMeasure, config: ResolvedConfig) -> MonitorMeasure:
    """Return a measure with the settings of the run: the SAM doctor perturbs as many examples together as the run."""
    if isinstance(measure, SamDoctor):
        return dataclasses.replace(measure, batch_size=config.micro_batch or config.batch_size)
    return measure
