"""The objective: the one place that knows model, loss, data, device, precision and BatchNorm mode."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.analysis.objective import derivatives, losses
from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.examples import make_splits
from landscape.analysis.objective.data.nested import Nested, Preprocess
from landscape.analysis.objective.evaluation import MetricEvaluator
from landscape.analysis.objective.metrics import MetricValues, choose_metrics
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.model.calibration import Calibration
from landscape.analysis.objective.model.network import Network
from landscape.analysis.objective.model_loss import ModelLoss
from landscape.analysis.objective.precision import DTYPES, Precision
from landscape.analysis.objective.validation import try_model
from landscape.analysis.objective.weights import Weights
from landscape.errors import LandscapeError
from landscape.execution.device import choose_device
from landscape.stats.mean import Mean, mean_of_sums

__all__ = ["CPU_BATCH", "DTYPES", "GPU_BATCH", "Data", "Objective", "Precision"]

Data: TypeAlias = Nested | Iterable[tuple[Nested, Nested]] | Mapping[str, Any]

CPU_BATCH = 250  # keeps the activations of small networks in cache; surfaces choose theirs by measurement
GPU_BATCH = 2500


class Objective:
    """The mean loss of a model on fixed data, as a function of its trainable parameters.

    `Objective(model, loss, inputs, targets)` for tensors, `Objective(model, loss, batches)` for a re-iterable of
    (inputs, targets) with a fixed order, `Objective(model, loss, {"train": (inputs, targets), "test": batches})` for
    several splits. It works on a copy of the model in evaluation mode: the caller's weights, buffers, mode and random
    state are never touched.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> zeros = {name: torch.zeros_like(w) for name, w in objective.origin.items()}
    >>> objective.loss(zeros)
    1.0

    Args:
        model: any `nn.Module`. Tensors are passed to it as `model(x)`, tuples as `model(*x)`, dictionaries as
            `model(**x)`.
        loss: "cross_entropy" for outputs (B, C, …), "token_cross_entropy" for (B, …, C), "next_token_cross_entropy"
            for those of causal language models (all three ignore labels of −100), "mse", or a function of (outputs,
            targets). It returns one value per example, (B,), or a scalar that counts as the batch's mean, or a pair
            (sum, weight), scalars or (B,), for the quotient of their totals, as of `nn.CrossEntropyLoss`, `nn.NLLLoss`
            and `nn.BCEWithLogitsLoss`. `ModelLoss(f)` is a loss of (model, batch).
        data: inputs, batches, a dictionary of inputs with "labels" inside, or a mapping from split names to any of
            them; derivatives are of the first split.
        targets: one per input, if `data` is inputs.
        metrics: further functions like `loss`, by name. Accuracy is added for classification.
        params: comma-separated globs of the parameters that move; frozen parameters never do.
        batchnorm: statistics along a path: "fixed" (the model's), "recalibrated" at each point, or "batch".
        calibration_examples: size of the fixed random sample of training examples that "recalibrated" uses, drawn from
            the whole of a loader too.
        calibration: preprocessed inputs to use in place of that sample. If training augmented, pass augmented ones: the
            statistics of plain images differ, and the loss with them.
        precision: of losses and derivatives; surfaces choose their own, see `Evaluation`.
        device: "auto", "cpu", "cuda", ...
        batch_size: examples at a time, if `data` holds tensors.
        preprocess: applied to each batch of inputs on the device (normalization, for instance).
        fold: fold BatchNorm into convolutions if possible (the fast path); `is_folded` and `not_folded_because` tell.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: str | losses.Loss,
        data: Data,
        targets: Nested | None = None,
        *,
        metrics: Mapping[str, losses.Metric] | None = None,
        params: str = "*",
        batchnorm: BatchNormMode = "fixed",
        calibration_examples: int = 1000,
        calibration: Nested | None = None,
        precision: Literal["float64", "float32"] = "float32",
        device: str | torch.device = "auto",
        batch_size: int | None = None,
        preprocess: Preprocess | None = None,
        fold: bool = True,
    ) -> None:
        if precision not in ("float64", "float32"):
            raise LandscapeError(f"unknown precision {precision!r} of an objective; expected float64 or float32")
        if batch_size is not None and batch_size < 1:
            raise LandscapeError(f"got a batch size of {batch_size}; expected at least 1")
        self.device = choose_device(device)
        self.precision: Precision = precision
        self.dtype = DTYPES[precision]
        self.params = params
        self.calibration = calibration
        self.batch_size = batch_size or (GPU_BATCH if self.device.type == "cuda" else CPU_BATCH)
        self.loss_name, self.loss_function = losses.resolve_loss(loss)
        model_loss = loss.function if isinstance(loss, ModelLoss) else None
        if model_loss is not None and metrics:
            raise LandscapeError("metrics are of outputs and targets, which a loss of model and batch does not give")

        self.data = make_splits(
            data, targets, self.device, dtype=self.dtype, preprocess=preprocess, joint=model_loss is not None
        )
        self.splits = tuple(self.data)
        source = self.data.get("train", self.data[self.splits[0]])
        calibrating = Calibration(calibration, calibration_examples, source, size=self.batch_size, dtype=self.dtype)
        self._calibrating, self.calibration_examples = calibrating, calibrating.examples
        self.network = Network(
            model,
            params=params,
            batchnorm=batchnorm,
            dtype=self.dtype,
            device=self.device,
            calibration=calibrating,
            model_loss=model_loss,
        )
        self.batchnorm, self.origin = self.network.batchnorm, self.network.origin
        self.size = sum(p.numel() for p in self.origin.values())

        inputs, targets, _ = next(self.data[self.splits[0]].iterate(min(self.batch_size, 8), self.dtype))
        probe = try_model(self.network, inputs, fold=fold), targets
        self.given_loss, self.user_metrics = loss, dict(metrics or {})
        chosen = choose_metrics(self.loss_name, self.loss_function, self.user_metrics, probe, tuple(self.data.values()))
        self.loss_function = chosen.functions["loss"]
        self.has_per_example_loss = chosen.single  # else there are only batch means, without a spread
        self.metrics = tuple(chosen.functions)
        name = self.loss_name
        self.evaluation = MetricEvaluator(self.network, chosen, loss_name=name, device=self.device, dtype=self.dtype)

    @property
    def is_joint(self) -> bool:
        """True if the loss is one of model and batch, without outputs in between."""
        return isinstance(self.loss_function, ModelLoss)

    def source(self, split: str) -> Any:
        """Return the data that a split was made of, on the CPU."""
        source = self._split(split).source()
        return source[0] if self.is_joint and isinstance(source, tuple) else source

    @property
    def parallel_batches(self) -> int:
        """Maximum number of batches to run concurrently: 1 if code of the user's runs, which could hold a state."""
        return self.evaluation.parallel_batches

    @property
    def calibration_source(self) -> str:
        """Examples that recalibrated statistics are estimated from, in words."""
        return self._calibrating.description

    @property
    def is_folded(self) -> bool:
        """True if BatchNorm is folded into convolutions, False if the model runs as it is."""
        return self.network.is_folded

    @property
    def not_folded_because(self) -> str:
        """Reason if BatchNorm is not folded; empty if it is."""
        return self.network.not_folded_because

    def sums(
        self,
        weights: Mapping[str, Tensor] | None = None,
        *,
        buffers: Mapping[str, Tensor] | None = None,
        splits: Iterable[str] | None = None,
        precision: Precision | None = None,
        batch_size: int | None = None,
        limit: int | None = None,
    ) -> Tensor:
        """Return (S, M, 3): sum, sum of squares and count per split and metric, without waiting for the device.

        Accumulated in float64 (in float32 on MPS, which has no float64).

        Args:
            weights: parameters that differ from the origin; None for the origin itself.
            buffers: buffers that differ from the model's.
            splits: which ones; all by default.
            precision: of the forward pass; the objective's by default.
            batch_size: examples at a time; the objective's by default.
            limit: only about this many first examples of each split (whole batches), for probing.
        """
        return self.evaluation.sums(
            [(self._split(split), self._mean_weights(split)) for split in splits or self.splits],
            weights,
            buffers,
            dtype=DTYPES[precision or self.precision],
            batch_size=batch_size or self.batch_size,
            limit=limit,
        )

    def metric_values(self, outputs: Any, targets: Nested, count: int, split: str) -> list[MetricValues]:
        """Return the values of each metric on a batch's outputs."""
        return self.evaluation.all_values(outputs, targets, count, self._mean_weights(split))

    def loss_values(self, outputs: Any, targets: Nested, count: int, split: str) -> Tensor:
        """Return a batch's losses, (B,): their mean over the split's examples is the loss, however they are batched."""
        return self.evaluation.values("loss", outputs, targets, count, self._mean_weight("loss", split)).values

    def _mean_weight(self, metric: str, split: str) -> float:
        return self.evaluation.mean_weight(metric, split, self._split(split), self.batch_size)

    def _mean_weights(self, split: str) -> list[float]:
        return [self._mean_weight(metric, split) for metric in self.metrics]

    def evaluate(
        self,
        weights: Mapping[str, Tensor] | None = None,
        *,
        buffers: Mapping[str, Tensor] | None = None,
        splits: Iterable[str] | None = None,
        precision: Precision | None = None,
    ) -> dict[str, dict[str, Mean]]:
        """Return the mean of every metric with its standard error: `result[split][metric]`."""
        chosen = tuple(splits or self.splits)
        table = self.sums(weights, buffers=buffers, splits=chosen, precision=precision).cpu().numpy()
        return {
            split: {metric: mean_of_sums(*row) for metric, row in zip(self.metrics, rows, strict=True)}
            for split, rows in zip(chosen, table, strict=True)
        }

    def loss(self, weights: Mapping[str, Tensor] | None = None, *, split: str | None = None) -> float:
        """Return the mean loss on one split, the first by default."""
        name = split or self.splits[0]
        return self.evaluate(weights, splits=(name,))[name]["loss"].value

    def per_example(
        self,
        weights: Mapping[str, Tensor] | None = None,
        *,
        buffers: Mapping[str, Tensor] | None = None,
        split: str | None = None,
        metric: str = "loss",
    ) -> NDArray[np.float64]:
        """Return one value per example, (N,), for paired differences between weights.

        Their mean is the metric. For a loss of (sum, weight), a quotient of means, they are linearized: each example's
        value is the mean plus what it adds to it, so that their spread is that of the quotient (delta method).
        """
        chosen = split or self.splits[0]
        mean_weight = self._mean_weight(metric, chosen)
        return self.evaluation.per_example(metric, mean_weight, self.batches(chosen), weights, buffers)

    def gradient(
        self, weights: Mapping[str, Tensor] | None = None, *, split: str | None = None
    ) -> tuple[float, Weights]:
        """Return the mean loss and its gradient at `weights` (the origin by default)."""
        point, buffers = self.network.point(weights)
        chosen = split or self.splits[0]
        total, n = {name: torch.zeros_like(w) for name, w in point.items()}, 0
        value = torch.zeros((), dtype=self.evaluation.exact, device=self.device)

        def part(batch: tuple[Nested, Nested, int]) -> tuple[Tensor, Weights, int]:
            return *derivatives.gradient(self._loss_sum(buffers, batch, chosen), point), batch[2]

        self._mean_weight("loss", chosen)  # known before batches run concurrently
        with derivatives.twice_differentiable():
            for loss, gradient, count in self.evaluation.map(part, self.batches(chosen)):
                derivatives.add(total, gradient)
                value += loss
                n += count
        return float(value) / n, {name: g / n for name, g in total.items()}

    def variant(self, *, data: Mapping[str, Batches] | None = None, loss: losses.Loss | None = None) -> Objective:
        """Return an objective that shares this one's network, on other examples or with another loss."""
        other = copy.copy(self)
        if data is not None:
            other.data, other.splits = dict(data), tuple(data)
        if loss is not None:
            other.given_loss = loss
            other.loss_name, other.loss_function = losses.resolve_loss(loss)
            other.evaluation = self.evaluation.with_loss(other.loss_name, other.loss_function)
        return other

    def _loss_sum(self, buffers: Weights, batch: tuple[Nested, Nested, int], split: str) -> Callable[[Weights], Tensor]:
        """Return the sum of the loss over a batch's examples, as a function of the moving parameters."""
        inputs, targets, count = batch

        def loss_sum(moving: Weights) -> Tensor:
            return self.loss_values(self.network.outputs(moving, buffers, inputs), targets, count, split).sum()

        return loss_sum

    def batches(self, split: str | None = None) -> Iterator[tuple[Nested, Nested, int]]:
        """Yield a split's batches of (inputs, targets, count) in the objective's precision, the first by default."""
        return self._split(split or self.splits[0]).iterate(self.batch_size, self.dtype)

    def _split(self, name: str) -> Batches:
        if name not in self.data:
            raise LandscapeError(f"no split {name!r} in the data; it has {', '.join(self.splits)}")
        return self.data[name]
