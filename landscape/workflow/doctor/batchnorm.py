"""Check of BatchNorm's running statistics: are they those of the data?"""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.stats import number_format
from landscape.workflow.doctor.finding import Finding
from landscape.workflow.doctor.inputs import is_clearly_higher
from landscape.workflow.sources.loaded_model import LoadedModel

NAME = "BatchNorm statistics"
REMEDY = (
    "if the normalization is right, re-estimate them with torch.optim.swa_utils.update_bn, or measure with --batchnorm "
    "recalibrated"
)
CHANGE = 0.1  # of the loss, relative; below it another estimate of the statistics is noise


def batchnorm_statistics(model: LoadedModel) -> Finding:
    """Compare the accuracy and the loss with those under statistics re-estimated from the training data."""
    layers = [m for m in model.model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not layers:
        return Finding(NAME, "skipped", "the model has no BatchNorm layer with running statistics")
    untouched = sum(_is_initial(layer) for layer in layers)
    if untouched:
        message = f"{untouched} of {len(layers)} layers hold means of 0 and variances of 1, as before training"
        return Finding(NAME, "warning", message, REMEDY, {"layers": len(layers), "untouched": untouched})
    split = model.sample.splits[0]
    fixed, recalibrated = (
        model.objective(first_split=True, batchnorm=mode).evaluate(splits=(split,))[split]
        for mode in ("fixed", "recalibrated")
    )
    loss, again = fixed["loss"].value, recalibrated["loss"].value
    values = {"layers": len(layers), "loss": loss, "loss_recalibrated": again}
    numbers = f"loss {number_format.number(loss)}, and {number_format.number(again)} with statistics re-estimated"
    better = loss - again > CHANGE * abs(loss)
    if "accuracy" in fixed:
        correct, correct_again = fixed["accuracy"], recalibrated["accuracy"]
        better = is_clearly_higher(correct_again, correct)
        values |= {"accuracy": correct.value, "accuracy_recalibrated": correct_again.value}
        numbers = (
            f"accuracy {number_format.percent(correct.value)}, and {number_format.percent(correct_again.value)} with "
            "statistics re-estimated"
        )
    if better:
        return Finding(NAME, "warning", f"{numbers}: the running statistics do not fit the weights", REMEDY, values)
    return Finding(NAME, "ok", numbers, "", values)


def _is_initial(layer: _BatchNorm) -> bool:
    mean, var = layer.running_mean, layer.running_var
    return mean is not None and var is not None and bool(torch.all(mean == 0) and torch.all(var == 1))
