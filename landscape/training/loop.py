"""The training loop: plain, resident on the device, without a synchronization per step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

import landscape
from landscape.checkpoint import Checkpoint
from landscape.data import Dataset, stratified_subset
from landscape.errors import LandscapeError
from landscape.training.augment import Augmentation, choose, draw
from landscape.training.evaluation import Evaluation, autocast, evaluate
from landscape.training.order import batches, epoch_order
from landscape.training.recipes import RECIPES, TrainConfig, learning_rate, make_optimizer
from landscape.training.resident import Resident
from landscape.training.settings import initial_model, resolve, seeded

REFERENCE_SUBSET = 2000  # examples whose loss every analysis of the checkpoint reproduces first
REFERENCE_SEED = 0


@dataclass(frozen=True)
class EpochReport:
    """What an epoch came to, for people to watch."""

    recipe: str
    epoch: int  # 1 … epochs
    epochs: int
    row: Mapping[str, float]  # this epoch's entry of each column of the history
    images_per_second: float  # of the training steps alone, without evaluation; a SAM step counts its images once


def train(
    config: TrainConfig,
    dataset: Dataset,
    *,
    on_epoch: Callable[[EpochReport], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    command: str = "",
) -> Checkpoint:
    """Return the trained model as a checkpoint, with its history and its float32 losses and accuracies.

    The order of the examples and the augmentation draws of an epoch depend on the seed and the epoch alone. On a CPU,
    the same configuration (its precision not left to "auto") and number of threads give the same weights bit for bit.
    The caller's random generators are left as they were. The history's losses are measured un-augmented and in
    evaluation mode, in the training precision but for the last epoch's, which are the final float32 ones.

    Args:
        config: the recipe and its settings.
        dataset: with a split `train`, and test losses where it has a split `test`.
        on_epoch: called after each epoch.
        on_step: called after each step with the steps done and the steps of the whole run.
        command: what repeats this run, for the provenance; without absolute paths.

    Raises:
        LandscapeError: for settings that do not fit the data, and for a loss that became infinite or NaN.
    """
    if config.recipe == "pair":
        raise LandscapeError(f"a pair is two runs: call train_pair, or train with one of {', '.join(RECIPES)}")
    began, created = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    config = resolve(config, dataset)
    device = torch.device(config.device)
    augmentation = choose(config.augment, dataset.kind, dataset.input_shape, is_images=dataset.is_images)
    pad = 0 if augmentation is None else augmentation.pad
    data = {split: Resident(dataset, split, device, pad=pad if split == "train" else 0) for split in dataset.splits}
    model = initial_model(config).train()
    optimizer = make_optimizer(config, model)
    examples = len(data["train"])
    steps = config.epochs * len(batches(examples, config.batch_size))
    history: dict[str, list[float]] = {}
    with seeded(config.seed, device):  # what dropout draws
        for epoch in range(1, config.epochs + 1):
            epoch_began = time.perf_counter()
            loss, lr = _train_epoch(config, epoch, model, optimizer, data["train"], augmentation, on_step)
            rate = examples / (time.perf_counter() - epoch_began)
            precision = config.precision if epoch < config.epochs else "float32"
            measured = _named({split: evaluate(model, data[split], precision=precision) for split in data})
            _check_finite(config, epoch, loss, measured["train_loss"])
            row = {
                "epoch": float(epoch),
                **measured,
                "learning_rate": lr,
                "gradient_evaluations": float(epoch * examples * RECIPES[config.recipe].gradients),
                "seconds": time.perf_counter() - began,
            }
            for column, value in row.items():
                history.setdefault(column, []).append(value)
            if on_epoch:
                on_epoch(EpochReport(config.recipe, epoch, config.epochs, row, rate))
    subset = stratified_subset(dataset.splits["train"].labels, REFERENCE_SUBSET, REFERENCE_SEED)
    reference = evaluate(model, data["train"], precision="float32", indices=subset)
    return Checkpoint(
        state={name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()},
        model=config.model,
        model_arguments=dict(config.model_arguments),
        data={**dataset.describe(), "spec": dataset.kind, "augmented": augmentation is not None},
        training=_describe(config, steps),
        history=history,
        final=measured,
        reference={"split": "train", "subset": REFERENCE_SUBSET, "seed": REFERENCE_SEED, **reference._asdict()},
        provenance={
            "landscape": landscape.__version__,
            "torch": str(torch.__version__),  # a subclass of str, which weights_only loading refuses
            "created": created,
            "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "seconds": time.perf_counter() - began,
            "command": command,
        },
    )


def _train_epoch(
    config: TrainConfig,
    epoch: int,
    model: nn.Module,
    optimizer: Optimizer,
    data: Resident,
    augmentation: Augmentation | None,
    on_step: Callable[[int, int], None] | None,
) -> tuple[float, float]:
    """Take the steps of one epoch (1 … epochs); return the mean of the batches' losses and the last learning rate."""
    assert config.lr is not None, "resolved before"
    examples, device = len(data), data.device
    cuts = batches(examples, config.batch_size)
    done, steps = (epoch - 1) * len(cuts), config.epochs * len(cuts)
    order = epoch_order(examples, seed=config.seed, epoch=epoch, device=device)
    draws = None
    if augmentation:
        draws = draw(augmentation, examples, data.image_size, seed=config.seed, epoch=epoch, device=device)
    total = torch.zeros((), device=device)  # stays on the device: nothing here waits for it until the epoch ends
    for number, cut in enumerate(cuts, start=done):
        lr = learning_rate(config.lr, step=number, steps=steps, warmup=config.warmup)
        inputs, labels = data.augmented_batch(order[cut], draws, cut) if draws else data.batch(order[cut])
        total += _step(model, optimizer, inputs, labels, lr=lr, precision=config.precision)
        if on_step:
            on_step(number + 1, steps)
    return total.item() / len(cuts), lr


def _step(
    model: nn.Module, optimizer: Optimizer, inputs: Tensor, labels: Tensor, *, lr: float, precision: str
) -> Tensor:
    """Take one step of the optimizer, SAM or not, and return the batch's loss, still on the device."""
    for group in optimizer.param_groups:
        group["lr"] = lr

    def closure() -> Tensor:
        optimizer.zero_grad()
        with autocast(inputs.device, precision):
            outputs = model(inputs)
        loss = F.cross_entropy(outputs.float(), labels)
        torch.autograd.backward(loss)
        return loss.detach()

    step: Callable[..., Any] = optimizer.step  # torch's stubs promise a closure that returns a float
    loss: Tensor = step(closure)
    return loss


def _named(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    return {
        f"{split}_{metric}": value
        for split, evaluation in evaluations.items()
        for metric, value in evaluation._asdict().items()
    }


def _describe(config: TrainConfig, steps: int) -> dict[str, Any]:
    recipe = RECIPES[config.recipe]
    return {
        "recipe": config.recipe,
        "optimizer": recipe.optimizer,
        **recipe.settings,
        "rho": config.rho if recipe.sharpness_aware else None,
        "epochs": config.epochs,
        "steps": steps,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "weight_decay": config.weight_decay,
        "schedule": "linear warm-up, cosine to 0",
        "warmup": config.warmup,
        "augment": config.augment,
        "seed": config.seed,
        "precision": config.precision,
        "evaluation": f"un-augmented, evaluation mode, {config.precision}; the last epoch and the final values float32",
    }


def _check_finite(config: TrainConfig, epoch: int, *losses: float) -> None:
    for loss in losses:
        if not math.isfinite(loss):
            raise LandscapeError(
                f"the training loss of {config.recipe} became {loss} in epoch {epoch} of {config.epochs}; "
                f"take an lr below {config.lr:g}, or a warmup of more than {config.warmup:g} of the steps"
            )
