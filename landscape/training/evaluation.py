"""Loss and accuracy of a model on resident data: a mean over examples, in evaluation mode, un-augmented."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.training.resident import Resident


class Evaluation(NamedTuple):
    """Means over the examples."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: nn.Module, data: Resident, *, precision: str, indices: Tensor | None = None, batch_size: int | None = None
) -> Evaluation:
    """Return the mean cross-entropy and accuracy over the examples, or those at `indices`; the model's mode is kept.

    Per-example losses are summed in float64, so that no batch weighs more than its examples.
    """
    if batch_size is None:  # activations of a small batch stay in a CPU's cache; a GPU wants much at once
        batch_size = 250 if data.device.type == "cpu" else 2500
    count = len(data) if indices is None else len(indices)
    losses, hits = [], []
    training = model.training
    model.eval()
    try:
        for start in range(0, count, batch_size):
            chosen = slice(start, min(start + batch_size, count))
            inputs, labels = data.batch(chosen if indices is None else indices[chosen].to(data.device))
            with autocast(data.device, precision):
                outputs = model(inputs)
            losses.append(F.cross_entropy(outputs.float(), labels, reduction="none"))
            hits.append(outputs.argmax(1) == labels)
    finally:
        model.train(training)
    loss = torch.cat(losses).cpu().double().mean().item()  # one synchronization, and float64 where MPS has none
    return Evaluation(loss, torch.cat(hits).cpu().double().mean().item())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a forward pass runs in this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
