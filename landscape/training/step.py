"""One optimization step: forward and backward passes in the training precision, then the optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from landscape.training.config.schedule import perturbation_radius
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
            shard = run.group.shard(slice(0, run.config.batch_size))
            examples = run.config.micro_batch or shard.stop - shard.start
            # Gradients of a CUDA graph lie in its memory: the next micro-batch would overwrite those that are summed.
            graphs = run.device.type == "cuda" and run.config.micro_batch is None
            self._loss = CompiledLoss(self._eager_loss, examples, graphs=graphs)

    def __call__(
        self, inputs: Tensor, labels: Tensor, *, lr: float | None, share: float, progress: float = 0.0
    ) -> Tensor:
        """Take a step and return the loss of the batch, on the device.

        Args:
            inputs: (B, …), this process's shard of the batch.
            labels: (B,).
            lr: learning rate; None keeps that of the optimizer.
            share: weight of this shard's mean loss in the mean over the processes; 1 for shards of equal size.
            progress: fraction of the run's steps taken, 0 at the first and 1 at the last; for the radius of SAM.
        """
        optimizer = self.run.optimizer
        if lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr
        if isinstance(optimizer, DisplacedOptimizer):
            if self.run.epoch + 1 >= self.config.sam_from:
                if self.config.rho_schedule != "constant":
                    self._set_radius(optimizer, progress)
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

    def _set_radius(self, optimizer: DisplacedOptimizer, progress: float) -> None:
        config = self.config
        for group in optimizer.param_groups:
            group[optimizer.radius_key] = perturbation_radius(
                config.rho_schedule,
                config.rho,
                minimum=config.rho_min,
                lr=group["lr"],
                peak=config.lr,
                progress=progress,
            )

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


class CompiledLoss:
    """A loss by `torch.compile` for batches of one size; others, such as the last of an epoch, run eagerly.

    Another size would be compiled again, with dynamic shapes that all batches then take.

    Args:
        loss: of inputs and labels.
        examples: size of the batches to compile for.
        graphs: whether the launches are replayed as CUDA graphs, whose results are valid until the next call.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], examples: int, *, graphs: bool) -> None:
        self._eager, self._examples, self._graphs = loss, examples, graphs
        self._compiled: Callable[[Tensor, Tensor], Tensor] | None = None
        self._failed = False

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss; eagerly, with a warning, if it cannot be compiled here (without a C compiler, say)."""
        if self._failed or len(labels) != self._examples:
            return self._eager(inputs, labels)
        if self._compiled is not None:
            return self._compiled(inputs, labels).clone()  # a graph's next replay overwrites its result
        try:
            with warnings.catch_warnings():  # float32 is float32 here, unless torch is told otherwise
                warnings.filterwarnings("ignore", "TensorFloat32 tensor cores", UserWarning)
                mode = "reduce-overhead" if self._graphs else None
                compiled = torch.compile(self._eager, mode=mode, dynamic=False)
                loss = compiled(inputs, labels).clone()
        except Exception as error:  # of the compiler, or of the model, which then fails eagerly too
            self._failed = True
            loss = self._eager(inputs, labels)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            warnings.warn(f"torch.compile failed, so that steps run uncompiled: {reason}", RuntimeWarning, stacklevel=2)
            return loss
        self._compiled = compiled
        return loss
