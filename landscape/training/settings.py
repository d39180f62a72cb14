"""Settings left open, filled in: the device, the recipe's defaults, and the precision that measures faster."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from landscape.data import Dataset, hold_out
from landscape.errors import LandscapeError
from landscape.execution.device import choose_device
from landscape.models import MODELS, build
from landscape.training.distributed import current
from landscape.training.evaluation import autocast
from landscape.training.pipeline.augment import Augment, choose
from landscape.training.recipes import PAIRS, RECIPES, Precision, TrainConfig, filled_in

COMPILED_STEPS = 2000  # of a run for which compiling, about a minute, is worth it on a GPU
EMULATED = 3.0  # bfloat16 that takes so many times as long as float32 is emulated, and one look is enough


def resolve(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Return the configuration with nothing left open for this data; resolving again changes nothing.

    Of a pair only what its members share is filled in.

    Raises:
        LandscapeError: where device, data and settings do not fit each other.
    """
    config = config if config.recipe in PAIRS else filled_in(config)
    base = filled_in(dataclasses.replace(config, recipe=PAIRS.get(config.recipe, (config.recipe,))[-1]))
    assert base.brightness is not None
    augmentation = choose(
        RECIPES[base.recipe].augment if config.augment == "auto" else config.augment,
        dataset.kind,
        dataset.input_shape,
        is_images=dataset.is_images,
        brightness=base.brightness,
        cutout=config.cutout,
    )
    augment: Augment = (
        "none" if not (augmentation and augmentation.pad) else "crop-flip" if augmentation.flip else "crop"
    )
    arguments = dict(config.model_arguments)
    if config.model in MODELS:  # a user's own factory knows its data
        arguments = {"num_classes": len(dataset.classes), "in_channels": dataset.input_shape[0], **arguments}
    config = dataclasses.replace(
        config, device=str(choose_device(config.device)), augment=augment, model_arguments=arguments
    )
    examples = len(with_validation(base, dataset).splits["train"])
    if config.batch_size > examples:
        raise LandscapeError(f"batch_size {config.batch_size} is more than the {examples} training examples; lower it")
    if base.patience and not (base.hold_out or "validation" in dataset.splits):
        raise LandscapeError("patience needs a validation split; set hold_out too, to 0.1 for instance")
    if config.precision == "auto":
        config = dataclasses.replace(config, precision=faster_precision(config, dataset))
    if config.compile == "auto":
        config = dataclasses.replace(config, compile="on" if _compiling_pays(config, examples) else "off")
    return config


def with_validation(config: TrainConfig, dataset: Dataset) -> Dataset:
    """Return the data with the fraction of the training examples held out that the configuration asks for."""
    if not config.hold_out or "validation" in dataset.splits:
        return dataset
    return hold_out(dataset, round(config.hold_out * len(dataset.splits["train"])))


def initial_model(config: TrainConfig) -> nn.Module:
    """Return the model with the weights that the seed gives, drawn on the CPU; the global generator is left alone."""
    with seeded(config.seed, torch.device("cpu")):
        model = build(config.model, **config.model_arguments)
    move: Callable[..., nn.Module] = model.to  # torch's stubs lack memory_format for modules
    return move(torch.device(config.device), memory_format=torch.channels_last)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators of the CPU and the device inside, and leave them as they were outside."""
    if device.type == "cpu":
        fork = torch.random.fork_rng(devices=[])
    else:
        index = 0 if device.index is None else device.index
        fork = torch.random.fork_rng(devices=[index], device_type=device.type)
    with fork:
        torch.manual_seed(seed)
        yield


def faster_precision(config: TrainConfig, dataset: Dataset, *, steps: int = 5) -> Precision:
    """Return "bfloat16" where steps of this very model and batch size run at least a tenth faster in it."""
    device = torch.device(config.device)
    if device.type == "mps" or (device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)):
        return "float32"
    model = initial_model(config)
    split = dataset.splits["train"]
    inputs = dataset.preprocess(split.inputs[: config.batch_size].to(device))
    if dataset.is_images:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = split.labels[: config.batch_size].to(device)
    times: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
    with seeded(config.seed, device):  # dropout must not move the caller's generators
        for place in range(1 + steps):  # in turns, so that another program's load meets both; the first one warms up
            for precision in times:
                begin = time.perf_counter()
                with autocast(device, precision):
                    outputs = model(inputs)
                torch.autograd.backward(F.cross_entropy(outputs.float(), labels))
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                times[precision].append(time.perf_counter() - begin)
            if device.type == "cpu" and place == 1 and times["bfloat16"][-1] > EMULATED * times["float32"][-1]:
                return "float32"
    seconds = {precision: min(each[1:]) for precision, each in times.items()}
    return "bfloat16" if 1.1 * seconds["bfloat16"] < seconds["float32"] else "float32"


def _compiling_pays(config: TrainConfig, examples: int) -> bool:
    """Whether a run is one for torch.compile: on one GPU, where launches dominate, and longer than compiling takes.

    On a CPU compiled steps of ResNet-20 measured no faster than eager ones (0.9 to 1.0 of their rate).
    """
    steps = config.epochs * examples / config.batch_size
    return torch.device(config.device).type == "cuda" and current().count == 1 and steps >= COMPILED_STEPS
