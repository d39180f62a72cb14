"""Provenance attributes of results measured on an objective."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import torch

from landscape.analysis.objective.objective import Objective
from landscape.version import __version__

FORMAT_VERSION = 1


def describe(objective: Objective, splits: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return the attributes of a result measured on an objective, JSON-able."""
    chosen = splits or objective.splits[:1]
    return {
        "format_version": FORMAT_VERSION,
        "parameters": objective.size,
        "params": objective.params,
        "loss": objective.loss_name,
        "splits": list(chosen),
        "examples": {split: objective.data[split].examples for split in chosen},
        "batchnorm": objective.batchnorm,
        "calibration_examples": objective.calibration_examples if objective.batchnorm == "recalibrated" else None,
        **({"calibration": objective.calibration_source} if objective.batchnorm == "recalibrated" else {}),
        "precision": objective.precision,
        "batch_size": objective.batch_size,
        "path": code_path(objective),
        "path_reason": objective.not_folded_because,
        "device": device_name(objective.device),
        "threads": torch.get_num_threads(),
        "landscape_version": __version__,
        "torch_version": torch.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_path(objective: Objective) -> Literal["folded", "plain"]:
    """Return the code path that losses take, as results store it: values agree bit for bit on the same path only."""
    return "folded" if objective.is_folded else "plain"


def device_name(device: torch.device) -> str:
    """Return the device's type, with the model's name on CUDA."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
