"""`landscape sharpness --study`: does any measure order the checkpoints as their generalization gap does?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from landscape.cli.commands.sharpness import Sharpness
from landscape.cli.jobs.loaded_model import Subject
from landscape.cli.jobs.result_names import claim, settings_of
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.results import SharpnessResult, StudyResult
from landscape.stats import number_format
from landscape.stats.rank_correlation import MIN_CHECKPOINTS, study
from landscape.storage.analysis_file import AnalysisFile, with_attributes

ENOUGH = 10  # checkpoints below which a study is called small

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


def expect_study(subjects: Sequence[Subject]) -> None:
    """Check that a study can be made of these checkpoints.

    Raises:
        LandscapeError: for fewer than three, or where there is no test split.
    """
    if len(subjects) < MIN_CHECKPOINTS:
        raise LandscapeError(
            f"--study takes at least {MIN_CHECKPOINTS} checkpoints, better {ENOUGH} or more; got {len(subjects)}"
        )
    for subject in subjects:
        if not {"train", "test"} <= set(subject.dataset.splits):
            have = ", ".join(subject.dataset.splits)
            raise LandscapeError(f"--study needs the data's train and test split, for the gap; the data has {have}")


def conduct(
    file: AnalysisFile, subjects: Sequence[Subject], found: Mapping[str, SharpnessResult], options: Sharpness
) -> tuple[str, StudyResult]:
    """Return the name and the result of the study, stored."""
    losses, source = _losses(subjects)
    gap = {label: split["test"] - split["train"] for label, split in losses.items()}
    made = study(found, gap, seed=options.seed)
    first = next(iter(found.values())).attributes
    settings = {
        **settings_of(subjects[0], batchnorm=first["batchnorm"], measures=first["settings"]["measures"]),
        "checkpoint": [subject.sha256 for subject in subjects],
    }
    key, _ = claim(file, "study", "sharpness", settings, options, StudyResult)
    groups = _groups(subjects)
    result = with_attributes(
        made,
        **{name: first[name] for name in _FROM_MEASURES if name in first},
        checkpoint="study",
        checkpoints=[{"label": subject.label, "sha256": subject.sha256} for subject in subjects],
        losses=losses,
        groups=[groups[label] for label in made.checkpoints],
        gap=f"test loss − train loss, {source}",
        settings=settings,
        command=console.recorded_command(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    file.put(key, result)
    return key, result


def print_study(result: StudyResult) -> None:
    """Print the correlation of every measure with the gap."""
    p_values = result.attributes["p_values"]
    rows = [
        [
            label,
            number_format.number(tau),
            f"{number_format.number(low)} to {number_format.number(high)}",
            number_format.number(p_values[label]),
        ]
        for label, tau, low, high in zip(result.measures, result.tau, result.tau_low, result.tau_high, strict=True)
    ]
    count = len(result.checkpoints)
    console.print_table(
        f"rank correlation with the generalization gap over {count} checkpoints",
        ["measure", "Kendall's τ", "95 % interval", "p"],
        rows,
    )
    console.say(f"  gap: {result.attributes['gap']}; intervals: bootstrap over the checkpoints; p: of no association")
    if count < ENOUGH:
        console.warn(
            f"{count} checkpoints say little, whatever τ is: look at the interval and at p, and add checkpoints"
        )


def study_summary(result: StudyResult) -> dict[str, Any]:
    """Return a study's numbers and provenance, JSON-able."""
    return {
        "checkpoints": result.checkpoints,
        "gap": result.gap,
        "measures": result.measures,
        "values": result.values,
        "stderrs": result.stderrs,
        "tau": result.tau,
        "tau_low": result.tau_low,
        "tau_high": result.tau_high,
        "attributes": dict(result.attributes),
    }


def _groups(subjects: Sequence[Subject]) -> dict[str, str]:
    """Return what figures tell the checkpoints' points apart by: the recipe, with the model where models differ."""
    about = {subject.label: subject.attributes() for subject in subjects}
    recipes = {label: str(a.get("recipe") or "") for label, a in about.items()}
    models = {label: str(a["model"]) for label, a in about.items()}
    if len(set(models.values())) > 1:
        return {label: ", ".join(filter(None, (recipes[label], models[label]))) for label in about}
    unknown = "other" if any(recipes.values()) else ""
    return {label: recipe or unknown for label, recipe in recipes.items()}


def _losses(subjects: Sequence[Subject]) -> tuple[dict[str, dict[str, float]], str]:
    """Return every checkpoint's train and test loss and where they are from, the same for all of them.

    Those recorded at the end of training, on all examples, where every checkpoint has them for this loss and these
    data; else measured on the samples that the options ask for.
    """
    recorded = {subject.label: _recorded(subject) for subject in subjects}
    if all(losses is not None for losses in recorded.values()):
        return {label: losses for label, losses in recorded.items() if losses is not None}, "recorded by the training"
    measured = {}
    for subject in subjects:
        found = subject.objective(splits=("train", "test")).evaluate()
        measured[subject.label] = {split: found[split]["loss"].value for split in ("train", "test")}
    return measured, "measured on the samples"


def _recorded(subject: Subject) -> dict[str, float] | None:
    checkpoint = subject.checkpoint
    if checkpoint is None or subject.options.loss != "cross_entropy":
        return None
    losses = {split: checkpoint.final.get(f"{split}_loss", math.nan) for split in ("train", "test")}
    prints = checkpoint.data.get("fingerprints") or {}
    same = all(prints.get(split) == subject.dataset.fingerprint(split) for split in losses)
    return {split: float(loss) for split, loss in losses.items()} if same and not _unknown(losses) else None


def _unknown(losses: Mapping[str, Any]) -> bool:
    return any(not isinstance(loss, int | float) or math.isnan(loss) for loss in losses.values())
