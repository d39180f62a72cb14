"""Losses of the model and a batch: physics-informed, energy-and-force, contrastive, or the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ModelLoss:
    """A loss of (model, batch), for losses that need more than outputs and targets.

    `function(model, batch)` returns (B,) values, a scalar mean, or a pair (sum, weight), like other losses. The model
    has the weights at which the loss is evaluated; the batch is one of the data, on the device. Gradients are enabled,
    so that the function can differentiate by inputs after `requires_grad_()`.

    >>> import torch, landscape
    >>> def residual(model, x):  # of the differential equation f' + x = 0
    ...     x.requires_grad_()
    ...     (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    ...     return (slope + x).square().mean(1)
    >>> model, x = torch.nn.Linear(1, 1), torch.zeros(4, 1)
    >>> objective = landscape.Objective(model, landscape.ModelLoss(residual), x, device="cpu")
    >>> abs(objective.loss() - float(model.weight.detach().square())) < 1e-6
    True
    """

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function
        self.__module__ = getattr(function, "__module__", "")
        self.__qualname__ = getattr(function, "__qualname__", type(function).__name__)

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Return the outputs, which are the loss already."""
        return outputs
