"""Loss and accuracy of a model on resident data: a mean over examples, in evaluation mode, un-augmented."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.training.distributed import Processes
from landscape.training.pipeline.device_dataset import Resident

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Evaluation(NamedTuple):
    """Means over the examples."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Resident,
    *,
    precision: str,
    indices: Tensor | None = None,
    batch_size: int | None = None,
    processes: Processes | None = None,
) -> Evaluation:
    """Return the mean cross-entropy and accuracy over the examples, or those at `indices`; the model's mode is kept.

    Per-example losses are summed in float64, so that no batch weighs more than its examples. Each of several processes
    takes its share of the examples.
    """
    if batch_size is None:  # activations of a small batch stay in a CPU's cache; a GPU wants much at once
        batch_size = 250 if data.device.type == "cpu" else 2500
    processes = processes or Processes()
    count = len(data) if indices is None else len(indices)
    mine = processes.part(slice(0, count))
    losses, hits = [torch.zeros(0, device=data.device)], [torch.zeros(0, dtype=torch.bool, device=data.device)]
    training = model.training
    model.eval()
    try:
        for start in range(mine.start, mine.stop, batch_size):
            chosen = slice(start, min(start + batch_size, mine.stop))
            inputs, labels = data.batch(chosen if indices is None else indices[chosen].to(data.device))
            with autocast(data.device, precision):
                outputs = model(inputs)
            losses.append(F.cross_entropy(outputs.float(), labels, reduction="none"))
            hits.append(outputs.argmax(1) == labels)
    finally:
        model.train(training)
    # One synchronization, and float64 sums on the CPU: MPS has none.
    sums = torch.stack([torch.cat(losses).cpu().double().sum(), torch.cat(hits).cpu().double().sum()])
    if processes.count > 1:
        sums = processes.total(sums.to(data.device)).cpu()
    loss, accuracy = (sums / count).tolist()
    return Evaluation(loss, accuracy)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a forward pass runs in this precision."""
    return torch.autocast(device.type, dtype=DTYPES.get(precision, torch.bfloat16), enabled=precision in DTYPES)
