"""Resolution of a configuration: recipe defaults, device, augmentation, and the precision that measures faster."""

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
from landscape.execution.device import EMULATED_SLOWDOWN, choose_device, has_bfloat16
from landscape.models import MODELS, build
from landscape.training.config.parts import Precision
from landscape.training.config.recipes import (
    PAIRS,
    RECIPES,
    ResolvedConfig,
    TrainConfig,
    with_recipe_defaults,
)
from landscape.training.distributed import process_group
from landscape.training.evaluation import autocast
from landscape.training.pipeline.augment import Augment, choose_augmentation

COMPILED_STEPS = 2000  # compiling takes about a minute on a GPU; shorter runs do not regain it
TIMED_EXAMPLES = 4096  # that keep a GPU busy: eager steps of fewer take as long as their launches in every precision


def resolve(config: TrainConfig, dataset: Dataset) -> ResolvedConfig:
    """Return the configuration of a single recipe with nothing left open for this data.

    The recipe gives the settings that are None; "auto" becomes a device, an augmentation, the faster precision and the
    decision to compile. A resolved configuration is returned unchanged.

    >>> from landscape.data import Split
    >>> split = Split(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    >>> data = Dataset("example", {"train": split}, ("a", "b"))
    >>> config = resolve(TrainConfig(recipe="sgd", batch_size=4, device="cpu", precision="float32"), data)
    >>> config.lr, config.augment, config.compile
    (0.1, 'crop-flip', 'off')

    Raises:
        LandscapeError: if device, data and settings do not fit each other, or for a pair (see `resolve_pair`).
    """
    if config.recipe in PAIRS:
        raise LandscapeError(
            f"{config.recipe} is a pair of runs: call train_pair, or train with one of {', '.join(RECIPES)}"
        )
    resolved = with_recipe_defaults(config)
    augmentation = choose_augmentation(
        RECIPES[config.recipe].augment if config.augment == "auto" else config.augment,
        dataset.kind,
        dataset.input_shape,
        is_images=dataset.is_images,
        brightness=resolved.brightness,
        cutout=config.cutout,
    )
    augment: Augment = (
        "none" if not (augmentation and augmentation.pad) else "crop-flip" if augmentation.flip else "crop"
    )
    arguments = dict(config.model_arguments)
    if config.model in MODELS:
        stored = config.start.model_arguments(config.model) if config.start is not None else {}
        data = {"num_classes": len(dataset.classes), "in_channels": dataset.input_shape[0]}
        arguments = {**stored, **data, **arguments}
    resolved = dataclasses.replace(
        resolved, device=str(choose_device(config.device)), augment=augment, model_arguments=arguments
    )
    examples = len(with_validation(resolved, dataset).splits["train"])
    if config.batch_size > examples:
        raise LandscapeError(f"batch_size {config.batch_size} is more than the {examples} training examples; lower it")
    if resolved.patience and not (resolved.hold_out or "validation" in dataset.splits):
        raise LandscapeError("patience needs a validation split; set hold_out too, to 0.1 for instance")
    if config.sam_from > 1 and RECIPES[config.recipe].method != "sam":
        raise LandscapeError(f"sam_from {config.sam_from} is for recipes of SAM, not {config.recipe}; leave it out")
    if config.compile == "auto":
        resolved = dataclasses.replace(resolved, compile="on" if _compiling_pays(resolved, examples) else "off")
    if resolved.friendly and config.precision == "float16":
        raise LandscapeError("friendly SAM averages gradients, which float16 scales; take precision bfloat16")
    if config.precision == "auto":
        resolved = dataclasses.replace(resolved, precision=faster_precision(resolved, dataset))
    return resolved


def with_validation(config: TrainConfig, dataset: Dataset) -> Dataset:
    """Return the data with the configured fraction of the training examples held out for validation."""
    if not config.hold_out or "validation" in dataset.splits:
        return dataset
    return hold_out(dataset, round(config.hold_out * len(dataset.splits["train"])))


def initial_model(config: ResolvedConfig) -> nn.Module:
    """Return a new model on its device, its weights of `start` or drawn on the CPU from the seed.

    The global generator is not used.
    """
    with seeded(config.seed, torch.device("cpu")):
        model = build(config.model, **config.model_arguments)
    if config.start is not None:
        config.start.load_into(model)
    move: Callable[..., nn.Module] = model.to  # torch's stubs lack memory_format for modules
    return move(torch.device(config.device), memory_format=torch.channels_last)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators of the CPU and the device, and restore their states at the end."""
    if device.type == "cpu":
        fork = torch.random.fork_rng(devices=[])
    else:
        current = torch.cuda.current_device() if device.type == "cuda" else 0
        index = current if device.index is None else device.index
        fork = torch.random.fork_rng(devices=[index], device_type=device.type)
    with fork:
        torch.manual_seed(seed)
        yield


def faster_precision(config: ResolvedConfig, dataset: Dataset, *, steps: int = 5) -> Precision:
    """Return "bfloat16" if steps of this model and batch size run at least a tenth faster in it, else "float32".

    Eager steps are timed. If those of the run are compiled on a GPU, which launches few kernels, the eager ones take
    more examples.
    """
    device = torch.device(config.device)
    if not has_bfloat16(device):
        return "float32"
    model = initial_model(config)
    split = dataset.splits["train"]
    count = timed_examples(config)
    inputs = dataset.preprocess(split.inputs[:count].to(device))
    if dataset.is_images:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = split.labels[:count].to(device)
    times: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
    with seeded(config.seed, device):  # dropout must not advance the caller's generators
        for step in range(1 + steps):  # alternating, so that load of other programs affects both; step 0 warms up
            for precision in times:
                begin = time.perf_counter()
                with autocast(device, precision):
                    outputs = model(inputs)
                torch.autograd.backward(F.cross_entropy(outputs.float(), labels))
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                times[precision].append(time.perf_counter() - begin)
            if device.type == "cpu" and step == 1 and times["bfloat16"][-1] > EMULATED_SLOWDOWN * times["float32"][-1]:
                return "float32"
    seconds = {precision: min(each[1:]) for precision, each in times.items()}
    return "bfloat16" if 1.1 * seconds["bfloat16"] < seconds["float32"] else "float32"


def timed_examples(config: ResolvedConfig) -> int:
    """Return the number of examples to time steps of this configuration with."""
    on_gpu = torch.device(config.device).type == "cuda"
    return max(config.batch_size, TIMED_EXAMPLES) if on_gpu and config.compile == "on" else config.batch_size


def _compiling_pays(config: ResolvedConfig, examples: int) -> bool:
    """Return True if `torch.compile` shortens the run: on one GPU, where launches dominate, if it is long enough.

    On a CPU compiled steps of ResNet-20 measured no faster than eager ones (0.9 to 1.0 of their rate).
    """
    steps = config.epochs * examples / config.batch_size
    return torch.device(config.device).type == "cuda" and process_group().size == 1 and steps >= COMPILED_STEPS
