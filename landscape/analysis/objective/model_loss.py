"""Losses of the model and a batch: physics-informed, energy-and-force, contrastive, or the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.batches import map_tensors


class ModelLoss:
    """A loss of (model, batch), for what needs more than outputs and targets.

    `function(model, batch)` returns what other losses do: (B,) values, a scalar mean, or a pair (sum, weight). Its
    model has the weights at which the loss is evaluated; its batch is what the data hold, on the device. It may
    differentiate by inputs that it calls `requires_grad_()` on: gradients are enabled.

        def residual(model, x):
            x.requires_grad_()
            slope, = torch.autograd.grad(model(x).sum(), x, create_graph=True)
            return (slope + x).square().mean(1)

        objective = landscape.Objective(model, landscape.ModelLoss(residual), x)
    """

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function
        self.__module__ = getattr(function, "__module__", "")
        self.__qualname__ = getattr(function, "__qualname__", type(function).__name__)

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Return the outputs, which are the loss already."""
        return outputs


class LossModule(nn.Module):
    """A model and a loss of it as one module, so that its tensors can be passed in."""

    def __init__(self, model: nn.Module, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, batch: Any) -> Any:
        """Return the loss, without its graph where gradients were not enabled."""
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            found = self.function(self.model, map_tensors(_fresh, batch))
        return found if wanted else map_tensors(Tensor.detach, found)


def _fresh(tensor: Tensor) -> Tensor:
    """Return a leaf with the same memory, so that `requires_grad_()` does not reach the data."""
    return tensor.detach()
