"""Loss and accuracy of a model over data on the device: means over examples, in evaluation mode, un-augmented."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.training.distributed import ProcessGroup
from landscape.training.pipeline.device_dataset import DeviceDataset

CPU_BATCH, GPU_BATCH = 250, 2500  # activations of a small batch stay in a CPU's cache; a GPU needs many examples
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class LossAndAccuracy(NamedTuple):
    """Means over the examples."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: DeviceDataset,
    *,
    precision: str,
    indices: Tensor | None = None,
    batch_size: int | None = None,
    group: ProcessGroup | None = None,
) -> LossAndAccuracy:
    """Return the mean cross-entropy and accuracy over the examples, or over those at `indices` (n,).

    Per-example losses are summed in float64, so that the means do not depend on the batch size. The processes of a
    group share the examples. The model's mode stays as it is.

    >>> from landscape.data import Dataset, Split
    >>> split = Split(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1, 1]))
    >>> data = DeviceDataset(Dataset("example", {"train": split}, ("a", "b")), "train", torch.device("cpu"))
    >>> loss, accuracy = evaluate(nn.Identity(), data, precision="float32")
    >>> round(loss, 4), round(accuracy, 4)  # (log(1 + e⁻²) + log(1 + e) + log(1 + e⁻³)) / 3
    (0.4963, 0.6667)
    """
    if batch_size is None:
        batch_size = CPU_BATCH if data.device.type == "cpu" else GPU_BATCH
    group = group or ProcessGroup()
    count = len(data) if indices is None else len(indices)
    shard = group.shard(slice(0, count))
    losses, correct = [torch.zeros(0, device=data.device)], [torch.zeros(0, dtype=torch.bool, device=data.device)]
    training = model.training
    model.eval()
    try:
        for start in range(shard.start, shard.stop, batch_size):
            batch = slice(start, min(start + batch_size, shard.stop))
            inputs, labels = data.batch(batch if indices is None else indices[batch].to(data.device))
            with autocast(data.device, precision):
                outputs = model(inputs)
            losses.append(F.cross_entropy(outputs.float(), labels, reduction="none"))
            correct.append(outputs.argmax(1) == labels)
    finally:
        model.train(training)
    # One synchronization, and float64 sums on the CPU: MPS has no float64.
    sums = torch.stack([torch.cat(losses).cpu().double().sum(), torch.cat(correct).cpu().double().sum()])
    if group.size > 1:
        sums = group.sum(sums.to(data.device)).cpu()
    loss, accuracy = (sums / count).tolist()
    return LossAndAccuracy(loss, accuracy)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of a precision: "float32" (disabled), "bfloat16" or "float16"."""
    return torch.autocast(device.type, dtype=DTYPES.get(precision, torch.bfloat16), enabled=precision in DTYPES)
