"""Precision and batch size of surfaces: chosen once, recorded, and shared by comparable results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from landscape.analysis.objective.autotune.precision_policy import PrecisionChoice, share_precision
from landscape.analysis.objective.objective import Precision
from landscape.analysis.objective.provenance import code_path
from landscape.analysis.surfaces.evaluation import EvaluationSettings
from landscape.results import LineResult, SurfaceResult
from landscape.storage.json_values import jsonable
from landscape.storage.result_file import ResultFile
from landscape.workflow.measurement import Run
from landscape.workflow.measurements.sampled import SampledResult
from landscape.workflow.reporter import Reporter


def shared_settings(
    runs: Sequence[Run[SampledResult]], choose: Callable[[Run[SampledResult]], EvaluationSettings], reporter: Reporter
) -> list[EvaluationSettings]:
    """Return the settings of each run: equal ones, unless a stored result has others.

    Those of a stored result are adopted by the others; else bfloat16 is taken only if every checkpoint allows it.

    Args:
        runs: measurements of one command that are not finished.
        choose: chooses the settings of one run by measurement.
        reporter: is warned of stored results that differ in precision.
    """
    stored = [EvaluationSettings.recorded(run.stored.attributes) for run in runs if run.stored is not None]
    choices = stored or [choose(run) for run in runs]
    common = share_precision([PrecisionChoice(choice.precision, choice.precision_error) for choice in choices])
    first = next(choice for choice in choices if choice.precision == common.precision)
    shared = dataclasses.replace(first, precision_error=common.error)
    if len({choice.precision for choice in stored}) > 1:
        reporter.warn(f"results of earlier runs differ in precision; the others are measured in {shared.precision}")
    return [shared if run.stored is None else EvaluationSettings.recorded(run.stored.attributes) for run in runs]


def known_precision(run: Run[SampledResult], file: ResultFile) -> Precision | None:
    """Return the precision that "auto" took for another checkpoint's result in the file, of the same settings."""
    same = (
        "model",
        "model_args",
        "data",
        "splits",
        "subset",
        "loss",
        "params",
        "batchnorm",
        "precision",
        "precision_tolerance",
    )
    settings = {name: jsonable(run.identity.get(name)) for name in same}
    model = run.source.attributes()["model"]
    for result in file.results.values():
        stored = result.attributes
        if (
            isinstance(result, LineResult | SurfaceResult)
            and settings == {name: stored.get("settings", {}).get(name) for name in same}
            and (stored["path"], stored["model"]) == (code_path(run.objective), model)
            and stored["device"].split()[0] == run.objective.device.type
        ):
            precision: Precision = stored["precision"]
            return precision
    return None
