"""Losses of the model and a batch: physics-informed, energy-and-force, contrastive, or the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
