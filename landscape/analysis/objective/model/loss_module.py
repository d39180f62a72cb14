"""A model and a loss of it as one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from landscape.analysis.objective.data.nested import map_tensors


class LossModule(nn.Module):
    """A model and a loss of it, so that the model's tensors can be passed in."""

    def __init__(self, model: nn.Module, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, batch: Any) -> Any:
        """Return the loss, without its graph if gradients are disabled."""
        with_graph = torch.is_grad_enabled()
        with torch.enable_grad():
            values = self.function(self.model, map_tensors(_fresh, batch))
        return values if with_graph else map_tensors(Tensor.detach, values)


def _fresh(tensor: Tensor) -> Tensor:
    """Return a leaf with the same memory, so that `requires_grad_()` does not reach the data."""
    return tensor.detach()
