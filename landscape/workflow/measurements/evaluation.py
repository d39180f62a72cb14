"""Precision, batch size and processes of a surface: chosen once, recorded, and shared by comparable results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from landscape.analysis.objective.objective import Precision
from landscape.analysis.objective.provenance import code_path
from landscape.analysis.surfaces.measuring import EvaluationSettings
from landscape.execution import Workers
from landscape.results import LineResult, Result, SurfaceResult
from landscape.storage.json_values import jsonable
from landscape.storage.result_file import ResultFile
from landscape.workflow.measurement import Run
from landscape.workflow.measurements.sampled import SampledResult


@dataclass(frozen=True)
class Evaluation:
    """Precision and processes that the points of a surface are evaluated with.

    Args:
        precision: of the forward passes; "auto" takes bfloat16 if it is measured to be faster and accurate enough.
        precision_tolerance: largest relative error of the loss, at probe points of the grid, that "auto" accepts.
        workers: processes that share the points, on CUDA one per GPU, or what `landscape.execution.open` returned; the
            values do not depend on them.
        settings: precision, batch size and threads of another surface, to make several comparable.
    """

    precision: Precision | Literal["auto"] = "auto"
    precision_tolerance: float = 0.01
    workers: int | Workers = 1
    settings: EvaluationSettings | None = None


def recorded_settings(found: Result) -> EvaluationSettings:
    """Return the evaluation settings of a stored or reused result."""
    stored = found.attributes
    return EvaluationSettings(
        stored["precision"], stored["precision_error"], stored["batch_size"], threads=int(stored["threads"])
    )


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
