"""Checkpoint of a run: its weights with their settings, history and provenance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import torch

import landscape
from landscape.data import Dataset, quota_subset
from landscape.models.checkpoint import Checkpoint
from landscape.training.config.parts import Regularization
from landscape.training.config.recipes import RECIPES
from landscape.training.evaluation import evaluate
from landscape.training.pipeline.device_dataset import DeviceDataset
from landscape.training.run import TrainingRun

REFERENCE_SUBSET = 2000  # examples whose loss every analysis of the checkpoint reproduces first
REFERENCE_SEED = 0

_SAM_SETTINGS = (
    "rho",
    "p",
    "adaptive",
    "eta",
    "every",
    "gsam_alpha",
    "friendly",
    "rho_schedule",
    "rho_min",
    "sam_from",
    "micro_batch",
    "ascent",
)
_OTHER_SETTINGS = {"noise": "rwp", "ema_decay": "ema", "average_from": "swa"}
_NOT_TRAINING = ("base_lr", "model", "model_arguments", "device", *_SAM_SETTINGS, *_OTHER_SETTINGS)


def make_checkpoint(
    run: TrainingRun, dataset: Dataset, train: DeviceDataset, final: dict[str, float], *, seconds: float, command: str
) -> Checkpoint:
    """Return the current weights of a run as a checkpoint; `final` holds their float32 losses and accuracies."""
    config, device = run.config, run.device
    subset = quota_subset(dataset.splits["train"].labels, REFERENCE_SUBSET, REFERENCE_SEED)
    reference = evaluate(run.model, train, precision="float32", indices=subset, group=run.group)
    data: dict[str, Any] = {**dataset.describe(), "spec": dataset.kind, "augmented": _augments(config)}
    if config.hold_out:
        data["hold_out"] = {"examples": len(dataset.splits["validation"])}
    return Checkpoint(
        state={name: value.contiguous() for name, value in run.weights().items()},
        model=config.model,
        model_arguments=dict(config.model_arguments),
        data=data,
        training=_describe(run),
        history=run.history,
        final=final,
        reference={"split": "train", "subset": REFERENCE_SUBSET, "seed": REFERENCE_SEED, **reference._asdict()},
        provenance={
            "landscape": landscape.__version__,
            "torch": str(torch.__version__),  # a subclass of str, which weights_only loading refuses
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "processes": run.group.size,
            "resumed": run.resumed,
            "seconds": seconds,
            "command": command,
            **({} if config.start is None else {"start": config.start.describe()}),
        },
    )


def _describe(run: TrainingRun) -> dict[str, Any]:
    """Return the settings that affected a run and the epochs it took, JSON-able."""
    config, recipe = run.config, RECIPES[run.config.recipe]
    settings = {name: value for name, value in config.recorded().items() if name not in _NOT_TRAINING}
    sam = {name: getattr(config, name) for name in _SAM_SETTINGS} if recipe.method == "sam" else {"rho": None}
    methods = (recipe.method, recipe.average)
    others = {name: getattr(config, name) for name, method in _OTHER_SETTINGS.items() if method in methods}
    return {
        **settings,
        "optimizer": recipe.optimizer_name,
        **recipe.settings,
        **sam,
        **others,
        "method": recipe.method,
        "average": recipe.average,
        "epochs_taken": run.epoch,
        "best_epoch": run.epoch - run.epochs_since_best if run.best is not None else None,
        "evaluation": (
            f"un-augmented, evaluation mode; the history in {config.precision} with at most {config.history_examples} "
            "training examples, the final values in float32 with all"
        ),
    }


def _augments(config: Regularization) -> bool:
    return config.augment != "none" or bool(config.brightness) or bool(config.cutout)
