"""An objective at other weights of the same model: along a training run, say."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor

from landscape.analysis.objective.objective import Objective


def at_weights(objective: Objective, state: Mapping[str, Tensor]) -> Objective:
    """Return the objective at other weights and buffers, which shares data, loss and traced network with this one.

    The tensors are used as they are where type and device fit, so they must not change while it is in use.

    >>> import torch, landscape
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> objective = landscape.Objective(model, "mse", torch.ones(1, 1), torch.zeros(1, 1), device="cpu")
    >>> at_weights(objective, {"weight": torch.tensor([[3.0]])}).loss()
    9.0

    Args:
        objective: of the same model.
        state: parameters and buffers by name, as `model.state_dict()`; those that it lacks stay.
    """
    other = copy.copy(objective)
    other.network = objective.network.at(state)
    other.origin = other.network.origin
    other.evaluation = objective.evaluation.with_network(other.network)
    return other
