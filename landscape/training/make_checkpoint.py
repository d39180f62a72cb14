"""What a finished run leaves: a checkpoint with the settings, the history and the provenance of its weights."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import torch

import landscape
from landscape.data import Dataset, quota_subset
from landscape.models.checkpoint import Checkpoint
from landscape.training.evaluation import evaluate
from landscape.training.pipeline.device_dataset import Resident
from landscape.training.recipes import RECIPES, TrainConfig
from landscape.training.run import Run

REFERENCE_SUBSET = 2000  # examples whose loss every analysis of the checkpoint reproduces first
REFERENCE_SEED = 0

_OF_SAM = ("rho", "p", "adaptive", "eta", "every", "gsam_alpha", "micro_batch", "ascent")
_OF_OTHERS = {"noise": "rwp", "ema_decay": "ema", "average_from": "swa"}
_NOT_OF_TRAINING = ("base_lr", "model", "model_arguments", "device", *_OF_SAM, *_OF_OTHERS)


def checkpoint_of(
    run: Run, dataset: Dataset, train: Resident, final: dict[str, float], *, seconds: float, command: str
) -> Checkpoint:
    """Return the weights that a run holds as a checkpoint; `final` are their float32 losses and accuracies."""
    config, device = run.config, run.device
    subset = quota_subset(dataset.splits["train"].labels, REFERENCE_SUBSET, REFERENCE_SEED)
    reference = evaluate(run.model, train, precision="float32", indices=subset, processes=run.processes)
    data: dict[str, Any] = {**dataset.describe(), "spec": dataset.kind, "augmented": _augments(config)}
    if config.hold_out:
        data["hold_out"] = {"examples": len(dataset.splits["validation"])}
    return Checkpoint(
        state={name: value.contiguous() for name, value in run.weights().items()},
        model=config.model,
        model_arguments=dict(config.model_arguments),
        data=data,
        training=describe(run),
        history=run.history,
        final=final,
        reference={"split": "train", "subset": REFERENCE_SUBSET, "seed": REFERENCE_SEED, **reference._asdict()},
        provenance={
            "landscape": landscape.__version__,
            "torch": str(torch.__version__),  # a subclass of str, which weights_only loading refuses
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "processes": run.processes.count,
            "resumed": run.resumed,
            "seconds": seconds,
            "command": command,
        },
    )


def describe(run: Run) -> dict[str, Any]:
    """Return the settings that had a part in a run, JSON-able, and how far it went."""
    config, recipe = run.config, RECIPES[run.config.recipe]
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in _NOT_OF_TRAINING
    }
    sam = {name: getattr(config, name) for name in _OF_SAM} if recipe.method == "sam" else {"rho": None}
    others = {name: getattr(config, name) for name, of in _OF_OTHERS.items() if of in (recipe.method, recipe.average)}
    return {
        **settings,
        "optimizer": recipe.optimizer,
        **recipe.settings,
        **sam,
        **others,
        "method": recipe.method,
        "average": recipe.average,
        "epochs_taken": run.epoch,
        "best_epoch": run.epoch - run.wait if run.best is not None else None,
        "evaluation": (
            f"un-augmented, evaluation mode; the history in {config.precision} with at most {config.history_examples} "
            "training examples, the final values in float32 with all"
        ),
    }


def _augments(config: TrainConfig) -> bool:
    return config.augment != "none" or bool(config.brightness) or bool(config.cutout)
