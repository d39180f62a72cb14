"""Checks of a checkpoint with its data: a new one is a function and a line in `CHECKS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from landscape.errors import LandscapeError
from landscape.stats import number_format
from landscape.workflow.doctor.batchnorm import batchnorm_statistics
from landscape.workflow.doctor.finding import Finding
from landscape.workflow.doctor.inputs import class_order, normalization
from landscape.workflow.doctor.minimum import minimum
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.sources.loading import changed_splits
from landscape.workflow.sources.plausibility import CLEAR

Check: TypeAlias = Callable[[LoadedModel], Finding]


def data(model: LoadedModel) -> Finding:
    """Compare the data with the fingerprints of the data that the checkpoint was trained on."""
    if model.checkpoint is None or not model.checkpoint.data.get("fingerprints"):
        return Finding("data", "skipped", "the weights do not record which data they were trained on")
    changed = changed_splits(model.dataset, model.checkpoint)
    if changed:
        message = f"the {' and '.join(changed)} data are not those of training: their fingerprints differ"
        return Finding("data", "warning", message, "give --data that the checkpoint was trained on")
    return Finding("data", "ok", "fingerprints are those of training")


def recorded_loss(model: LoadedModel) -> Finding:
    """Compare the loss with the one that training recorded on the same examples."""
    reference = model.reproduce()
    if reference is None:
        return Finding("recorded loss", "skipped", "the weights record no loss to compare with")
    message = f"recorded {reference['recorded']:.6g}, measured {reference['reproduced']:.6g}"
    if reference["agrees"]:
        return Finding("recorded loss", "ok", message, values=reference)
    remedy = "check --data, --normalize and --model; the file or the model's code may have changed since training"
    return Finding("recorded loss", "broken", message, remedy, reference)


def accuracy(model: LoadedModel) -> Finding:
    """Compare the accuracy on the sample with chance, and with the recorded one."""
    origin = model.origin()
    if "accuracy" not in origin:
        return Finding("accuracy", "skipped", f"the loss {model.sample.loss} has no accuracy")
    value, error = origin["accuracy"], origin["stderr"]
    message = (
        f"{number_format.percent(value, error)} on {origin['n']} {origin['split']} examples; chance is "
        f"{number_format.percent(origin['chance'])}"
    )
    if value - CLEAR * error <= origin["chance"]:
        remedy = "the network does not work on these inputs: see normalization and class order below, and check --model"
        return Finding("accuracy", "broken", message, remedy, origin)
    if origin["warnings"]:
        recorded = model.checkpoint.final[f"{origin['split']}_accuracy"] if model.checkpoint else float("nan")
        remedy = "check --data, --normalize and --model: the network works worse than in training"
        return Finding("accuracy", "warning", f"{message}, recorded {number_format.percent(recorded)}", remedy, origin)
    return Finding("accuracy", "ok", message, values=origin)


CHECKS: Sequence[Check] = (
    data,
    recorded_loss,
    accuracy,
    normalization,
    class_order,
    batchnorm_statistics,
    minimum,
)


def examine_checkpoint(model: LoadedModel, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Return the finding of each check; one that cannot be made for this model is skipped, with the reason."""
    findings = []
    for check in checks:
        try:
            findings.append(check(model))
        except LandscapeError as error:
            findings.append(Finding(check.__name__.replace("_", " "), "skipped", str(error)))
    return findings
