"""Training curves of checkpoints, stored beside what is measured on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.models.checkpoint import Checkpoint
from landscape.results import HistoryResult
from landscape.storage.result_file import ResultFile
from landscape.workflow.sources.loaded_model import LoadedModel

_RENAMED = {"landscape": "landscape_version", "torch": "torch_version"}


def stage_history(file: ResultFile, model: LoadedModel) -> None:
    """Add a checkpoint's training curves to a file, once; they are written with the next result."""
    checkpoints = model.attributes()["checkpoints"]
    others = [
        key
        for key, result in file.results.items()
        if key.startswith(f"{model.label}/") and result.attributes.get("checkpoints", checkpoints) != checkpoints
    ]
    if others:
        model.reporter.warn(f"{file.path} also holds results of other weights named {model.label}: {', '.join(others)}")
    key = f"{model.label}/history"
    history = model.checkpoint.history if model.checkpoint else {}
    if "epoch" in history and (key not in file.results or key in others):
        columns = {name: np.asarray(values, dtype=np.float64) for name, values in history.items()}
        attributes = {**model.attributes(), **_provenance(model.checkpoint)}
        file.stage(key, HistoryResult(columns, attributes))


def _provenance(checkpoint: Checkpoint | None) -> dict[str, Any]:
    provenance = checkpoint.provenance if checkpoint else {}
    return {_RENAMED.get(key, key): value for key, value in provenance.items()}
