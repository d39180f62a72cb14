"""Averages of the weights along a run: stochastic weight averaging and an exponential moving average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from landscape.training.config.recipes import RECIPES, TrainConfig


def averaged_model(config: TrainConfig, model: nn.Module) -> AveragedModel | None:
    """Return the average that the recipe keeps of a model's weights, or None.

    "swa": the mean of the weights after each epoch of the last quarter (Izmailov et al. 2018, arXiv:1803.05407,
    algorithm 1). "ema": an exponential moving average over the steps (Polyak averaging).
    """
    kind = RECIPES[config.recipe].average
    if kind == "none":
        return None
    average: Any = get_ema_multi_avg_fn  # untyped in torch
    return AveragedModel(model, multi_avg_fn=average(config.ema_decay) if kind == "ema" else None)


def update_average(average: AveragedModel, model: nn.Module) -> None:
    """Take the model's weights into an average, without waiting for the device.

    As `AveragedModel.update_parameters`, which copies its counter to the device in each call and waits for that.
    """
    update = average.multi_avg_fn
    if update is None or not average.n_averaged:  # an equal average weighs by the counter; the first one copies
        average.update_parameters(model)
        return
    with torch.no_grad():
        update(list(average.module.parameters()), list(model.parameters()), average.n_averaged)
        buffers, current = list(average.module.buffers()), list(model.buffers())
        if buffers:
            torch._foreach_copy_(buffers, current)
        average.n_averaged += 1


def averages_after_step(config: TrainConfig) -> bool:
    """Return True if the average takes the weights after each step."""
    return RECIPES[config.recipe].average == "ema"


def averages_after_epoch(config: TrainConfig, epoch: int) -> bool:
    """Return True if the average takes the weights after this epoch, 1 … epochs."""
    return RECIPES[config.recipe].average == "swa" and (
        epoch > config.average_from * config.epochs or epoch == config.epochs
    )


def recalibrate(model: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Estimate the running statistics of BatchNorm over batches of training inputs; averaged weights lack them."""
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        update_bn(batches, model)
