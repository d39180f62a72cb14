"""A study: whether any sharpness measure orders checkpoints as their generalization gap does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from landscape.errors import LandscapeError
from landscape.results import SharpnessResult, StudyResult, with_attributes
from landscape.stats.comparison.rank_correlation import MIN_CHECKPOINTS, study
from landscape.workflow.measurements.matching import MatchedRuns
from landscape.workflow.names import resolve_name
from landscape.workflow.runner import Runner
from landscape.workflow.sources.loaded_model import LoadedModel

_FROM_MEASURES = (  # attributes that all the checkpoints' results share
    "format_version",
    "model",
    "data",
    "subset",
    "subset_seed",
    "loss",
    "params",
    "splits",
    "examples",
    "batchnorm",
    "precision",
    "device",
    "threads",
    "landscape_version",
    "torch_version",
)


def check_study(models: Sequence[LoadedModel]) -> None:
    """Check that a study can be made of these checkpoints.

    Raises:
        LandscapeError: for fewer than three, or data without a test split.
    """
    if len(models) < MIN_CHECKPOINTS:
        raise LandscapeError(
            f"--study takes at least {MIN_CHECKPOINTS} checkpoints, better 10 or more; got {len(models)}"
        )
    for model in models:
        if not {"train", "test"} <= set(model.dataset.splits):
            have = ", ".join(model.dataset.splits)
            raise LandscapeError(f"--study needs the data's train and test split, for the gap; the data has {have}")


def conduct_study(
    runner: Runner,
    models: Sequence[LoadedModel],
    sharpness: Mapping[str, SharpnessResult],
    *,
    seed: int = 0,
    name: str | None = None,
    matched: MatchedRuns | None = None,
) -> tuple[str, StudyResult]:
    """Return the name and the result of a study, stored.

    Args:
        runner: of the analysis file.
        models: the checkpoints, at least three.
        sharpness: results of the same measures, by label.
        seed: of the bootstrap.
        name: of the result.
        matched: runs at equal train loss, whose losses there take the place of those at the end.
    """
    losses, origin = _losses(models) if matched is None else (matched.losses, "at equal train loss, on the samples")
    gap = {label: split["test"] - split["train"] for label, split in losses.items()}
    correlations = study(sharpness, gap, seed=seed)
    first = next(iter(sharpness.values())).attributes
    settings = {
        **models[0].identity(),
        "batchnorm": first["batchnorm"],
        "measures": first["settings"]["measures"],
        "checkpoint": [model.sha256 for model in models],
        **({} if matched is None else {"match": "loss"}),
    }
    wanted = f"study/{name or ('sharpness' if matched is None else 'equal-loss')}"
    key, _ = resolve_name(
        runner.file, wanted, settings, StudyResult, is_given=name is not None, overwrite=runner.overwrite
    )
    groups = _groups(models)
    result = with_attributes(
        correlations,
        **{name: first[name] for name in _FROM_MEASURES if name in first},
        checkpoint="study",
        checkpoints=[{"label": model.label, "sha256": model.sha256} for model in models],
        losses=losses,
        groups=[groups[label] for label in correlations.checkpoints],
        seeds=[_seed(model) for model in models],
        **({} if matched is None else {"match": _describe(matched)}),
        gap=f"test loss − train loss, {origin}",
        settings=settings,
        **({"command": runner.command} if runner.command else {}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    runner.file.put(key, result)
    return key, result


def _describe(matched: MatchedRuns) -> dict[str, Any]:
    """Return the loss at which runs are compared, and their epochs and accuracies there, JSON-able."""
    return {"train_loss": matched.loss, "epochs": dict(matched.epochs), "accuracies": dict(matched.accuracies)}


def _seed(model: LoadedModel) -> int | None:
    """Return the seed that a checkpoint was trained with, if it is known."""
    seed = model.checkpoint.training.get("seed") if model.checkpoint else None
    return seed if isinstance(seed, int) else None


def _groups(models: Sequence[LoadedModel]) -> dict[str, str]:
    """Return the group of each checkpoint in figures: its recipe, with the model if models differ."""
    about = {model.label: model.attributes() for model in models}
    recipes = {label: str(a.get("recipe") or "") for label, a in about.items()}
    architectures = {label: str(a["model"]) for label, a in about.items()}
    if len(set(architectures.values())) > 1:
        return {label: ", ".join(filter(None, (recipes[label], architectures[label]))) for label in about}
    unknown = "other" if any(recipes.values()) else ""
    return {label: recipe or unknown for label, recipe in recipes.items()}


def _losses(models: Sequence[LoadedModel]) -> tuple[dict[str, dict[str, float]], str]:
    """Return every checkpoint's train and test loss and their origin, the same for all of them.

    The losses recorded at the end of training, on all examples, if every checkpoint has them for this loss and these
    data; else losses measured on the samples.
    """
    recorded = {model.label: _recorded(model) for model in models}
    if all(losses is not None for losses in recorded.values()):
        return {label: losses for label, losses in recorded.items() if losses is not None}, "recorded by the training"
    measured = {}
    for model in models:
        means = model.objective(splits=("train", "test")).evaluate()
        measured[model.label] = {split: means[split]["loss"].value for split in ("train", "test")}
    return measured, "measured on the samples"


def _recorded(model: LoadedModel) -> dict[str, float] | None:
    checkpoint = model.checkpoint
    if checkpoint is None or model.sample.loss != "cross_entropy":
        return None
    losses = {split: checkpoint.final.get(f"{split}_loss", math.nan) for split in ("train", "test")}
    prints = checkpoint.data.get("fingerprints") or {}
    same = all(prints.get(split) == model.dataset.fingerprint(split) for split in losses)
    return {split: float(loss) for split, loss in losses.items()} if same and not _unknown(losses) else None


def _unknown(losses: Mapping[str, Any]) -> bool:
    return any(not isinstance(loss, int | float) or math.isnan(loss) for loss in losses.values())
