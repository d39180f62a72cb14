"""One optimization step: forward and backward passes in the training precision, then the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from landscape.training.evaluation import autocast
from landscape.training.run import TrainingRun
from landscape.training.sam.displaced import DisplacedOptimizer


class Step:
    """Optimization step of a run, without waiting for the device (except in a gradient scaler, which has to)."""

    def __init__(self, run: TrainingRun) -> None:
        self.run, self.config = run, run.config
        self._parameters = [p for p in run.model.parameters() if p.requires_grad]
        self._loss: Callable[[Tensor, Tensor], Tensor] = self._eager_loss
        if run.config.compile == "on":
            self._loss = _compiled(self._eager_loss)

    def __call__(self, inputs: Tensor, labels: Tensor, *, lr: float | None, share: float) -> Tensor:
        """Take a step and return the loss of the batch, on the device.

        Args:
            inputs: (B, …), this process's shard of the batch.
            labels: (B,).
            lr: learning rate; None keeps that of the optimizer.
            share: weight of this shard's mean loss in the mean over the processes; 1 for shards of equal size.
        """
        optimizer = self.run.optimizer
        if lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr
        if isinstance(optimizer, DisplacedOptimizer):
            if self.run.epoch + 1 >= self.config.sam_from:
                return self._perturbed(inputs, labels, share)
            optimizer = optimizer.base
        loss = self._gradient(inputs, labels, share)
        scaler = self.run.scaler
        if self.config.max_norm is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            clip_grad_norm_(self._parameters, self.config.max_norm)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        return loss

    def _perturbed(self, inputs: Tensor, labels: Tensor, share: float) -> Tensor:
        """Take a step of SAM or random perturbation, which evaluate one closure per micro-batch."""
        count = len(labels)
        size = self.config.micro_batch or count
        parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        if len(parts) > 1 and count - parts[-1].start == 1:  # BatchNorm cannot normalize one value per channel
            parts[-2:] = [slice(parts[-2].start, count)]

        def closure(part: slice) -> Callable[[], Tensor]:
            weight = share * (part.stop - part.start) * len(parts) / count
            return lambda: self._gradient(inputs[part], labels[part], weight)

        step: Callable[..., Any] = self.run.optimizer.step  # torch's stubs promise a closure that returns a float
        loss: Tensor = step([closure(part) for part in parts], scaler=self.run.scaler)
        if self.run.scaler is not None:
            self.run.scaler.update()
        return loss

    def _gradient(self, inputs: Tensor, labels: Tensor, weight: float) -> Tensor:
        """Set the gradients of the weighted loss, and return that loss before the gradient scaler."""
        run = self.run
        run.optimizer.zero_grad()
        run.evaluated += len(labels) * run.group.size
        loss = self._loss(inputs, labels)
        if weight != 1.0:
            loss = loss * weight
        torch.autograd.backward(loss if run.scaler is None else run.scaler.scale(loss))
        return loss.detach()

    def _eager_loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with autocast(inputs.device, self.config.precision):
            outputs = self.run.trained(inputs)
        return F.cross_entropy(outputs.float(), labels, label_smoothing=self.config.label_smoothing)


def _compiled(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Compile the loss, on CUDA into one graph of launches; its value is copied, as the graph reuses memory."""
    cuda_graphs = torch.compile(loss, mode="reduce-overhead" if torch.cuda.is_available() else None)

    def copied(inputs: Tensor, labels: Tensor) -> Tensor:
        return cuda_graphs(inputs, labels).clone()

    return copied
