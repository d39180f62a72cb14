"""Checks of a model's inputs and answers: would another normalization, or another order of classes, fit better?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from landscape.analysis.objective.objective import Objective
from landscape.seeding import random_indices
from landscape.stats import number_format
from landscape.stats.mean import Mean
from landscape.workflow.doctor.finding import Finding
from landscape.workflow.sources.loaded_model import LoadedModel
from landscape.workflow.sources.plausibility import CLEAR

Channels = tuple[float, ...]
GAIN = 0.02  # of accuracy, below which another choice is not worth a warning
MEASURED_ON = 1000  # images that the data's own mean and standard deviation are estimated from
_RGB = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def normalization(model: LoadedModel) -> Finding:
    """Compare the accuracy with that under other common normalizations of images."""
    origin = model.origin()
    if not model.dataset.is_images or "accuracy" not in origin:
        return Finding("normalization", "skipped", "of images and a loss with an accuracy only")
    given = Mean(origin["accuracy"], origin["stderr"], origin["n"])
    tried = {name: _accuracy(model, *choice) for name, choice in _candidates(model).items()}
    values = {name: mean.value for name, mean in tried.items()}
    best = max(tried, key=lambda name: tried[name].value)
    if is_clearly_higher(tried[best], given):
        message = (
            f"{number_format.percent(tried[best].value)} with {best} normalization, "
            f"{number_format.percent(given.value)} with the one in use"
        )
        return Finding("normalization", "warning", message, f"give --normalize {_option(model, best)}", values)
    return Finding("normalization", "ok", f"none of {len(tried)} other common ones gives a higher accuracy", "", values)


def class_order(model: LoadedModel) -> Finding:
    """Look for an order of the classes that fits the model's answers better than the labels' own.

    The order is found on one half of the examples and judged on the other, and vice versa.
    """
    confusions = _confusions(model)
    if confusions is None:
        return Finding("class order", "skipped", "of classifications with one output per class only")
    examples = sum(confusion.sum() for confusion in confusions)
    given = sum(np.trace(confusion) for confusion in confusions) / examples
    fitted = sum(
        judged[linear_sum_assignment(found, maximize=True)].sum() for found, judged in (confusions, confusions[::-1])
    )
    best = _share(fitted / examples, examples)
    values = {"accuracy": float(given), "accuracy_in_best_order": best.value}
    if not is_clearly_higher(best, _share(given, examples)):
        return Finding("class order", "ok", "no other order of the classes fits the answers better", "", values)
    labels, answers = linear_sum_assignment(confusions[0] + confusions[1], maximize=True)
    names = model.dataset.classes
    moved = [
        f"{names[label]} as {names[answer]}" for label, answer in zip(labels, answers, strict=True) if label != answer
    ]
    message = (
        f"{number_format.percent(best.value)} of the answers are right in another order of the classes, "
        f"{number_format.percent(float(given))} in this one: the model answers {', '.join(moved[:3])}"
    )
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    remedy = "give the classes in the order of training; folders of images are sorted by their names"
    return Finding("class order", "warning", message + more, remedy, {**values, "moved": moved})


def is_clearly_higher(one: Mean, other: Mean) -> bool:
    """Return True if an accuracy is above another by 3 standard errors of the difference, and by 2 points.

    >>> is_clearly_higher(Mean(0.9, 0.01, 500), Mean(0.8, 0.02, 500))
    True
    >>> is_clearly_higher(Mean(0.9, 0.05, 20), Mean(0.8, 0.05, 20))
    False
    """
    return one.value - other.value > max(CLEAR * math.hypot(one.stderr, other.stderr), GAIN)


def _candidates(model: LoadedModel) -> dict[str, tuple[Channels, Channels] | tuple[None, None]]:
    """Return mean and standard deviation of common normalizations, by name, but for the one in use."""
    dataset = model.dataset
    channels = dataset.input_shape[0]
    recorded = model.checkpoint.data if model.checkpoint else {}
    images = dataset.splits["train"].inputs
    pixels = images[torch.from_numpy(random_indices(len(images), MEASURED_ON))].double() / 255
    std, mean = torch.std_mean(pixels, dim=(0, 2, 3))
    choices: dict[str, tuple[Channels, Channels] | tuple[None, None]] = {
        **({"training's": (tuple(recorded["mean"]), tuple(recorded["std"]))} if recorded.get("mean") else {}),
        "no": (None, None),
        "the data's own": (tuple(mean.tolist()), tuple(std.clamp_min(1e-6).tolist())),
        "the -1…1": ((0.5,) * channels, (0.5,) * channels),
        "the 0…255": ((0.0,) * channels, (1 / 255,) * channels),
        **(_RGB if channels == 3 else {}),
    }
    return {name: choice for name, choice in choices.items() if choice != (dataset.mean, dataset.std)}


def _accuracy(model: LoadedModel, mean: Channels | None, std: Channels | None) -> Mean:
    changed = dataclasses.replace(model, dataset=dataclasses.replace(model.dataset, mean=mean, std=std))
    split = model.sample.splits[0]
    return changed.objective(first_split=True).evaluate(splits=(split,))[split]["accuracy"]


def _option(model: LoadedModel, name: str) -> str:
    mean, std = _candidates(model)[name]
    if mean is None or std is None:
        return "none"
    return "/".join(",".join(f"{value:.4g}" for value in channel) for channel in (mean, std))


def _share(value: float, examples: int) -> Mean:
    return Mean(float(value), math.sqrt(max(value * (1 - value), 0) / examples), int(examples))


def _confusions(model: LoadedModel) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return counts [label, answer] of two random halves of the sample; None if answers are not one of the classes."""
    objective, classes = model.objective(first_split=True), len(model.dataset.classes)
    answers = _answers(objective, classes)
    if answers is None:
        return None
    order = random_indices(len(answers))
    halves = []
    for half in np.array_split(order, 2):
        counts = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(counts, tuple(answers[half].T), 1)
        halves.append(counts)
    return halves[0], halves[1]


@torch.no_grad()
def _answers(objective: Objective, classes: int) -> NDArray[np.int64] | None:
    """Return (N, 2): label and most likely class of every example."""
    if objective.is_joint:
        return None
    point, buffers = objective.network.point(objective.origin)
    pairs = []
    for inputs, labels, _ in objective.batches():
        outputs = objective.network.outputs(point, buffers, inputs)
        is_classes = isinstance(outputs, torch.Tensor) and outputs.shape[1:] == (classes,)
        if not is_classes or not isinstance(labels, torch.Tensor) or labels.ndim != 1 or labels.is_floating_point():
            return None
        pairs.append(torch.stack([labels, outputs.argmax(1)], dim=1).cpu())
    return torch.cat(pairs).numpy()
