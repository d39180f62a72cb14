"""Training steps per second of landscape against the plain PyTorch recipe, side by side in one run.

    python tests/benchmarks/training_speed.py [--device cuda] [--data cifar10] [--rounds 5] [--steps 30]

Rounds alternate between four ways: landscape's own `train` with Adam and with SAM, and the same as it is usually
written, further down in this file: a DataLoader with two workers and torchvision's transforms on PIL images, eager
float32, torch.optim.Adam, and SAM as a wrapper with first_step and second_step. The plain loop reads no loss on the way
(most do, which waits for the GPU at each step). Each side runs in a process of its own, so that the allocator is as its
users have it: tuned as landscape's command line does, and malloc's own. The first steps of each measurement are not
timed; compiling and filling the queue of the workers fall there. On a GPU, or with --compiled, two more ways join: the
same loop as a careful user would write it, `torch.compile`d in bfloat16 with fused Adam, on normalized images that stay
on the device and are not augmented. Medians over the rounds, and their ratios, are printed with the goals. Images are
random, of CIFAR's shape, unless --data names others (speed does not depend on their values).
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import landscape
from landscape.data import Dataset, Split, load_dataset
from landscape.data.downloads import import_datasets
from landscape.models import build
from landscape.training import TrainConfig, resolve, train

WAYS = {  # name: (which process, recipe)
    "plain recipe, Adam": ("plain", "adam"),
    "plain recipe, SAM": ("plain", "sam"),
    "compiled recipe, Adam": ("compiled", "adam"),
    "compiled recipe, SAM": ("compiled", "sam"),
    "landscape, Adam": ("landscape", "adam"),
    "landscape, SAM": ("landscape", "sam"),
}


@dataclass(frozen=True)
class Settings:
    """What all ways share."""

    model: str
    data: str | None
    device: str
    batch_size: int
    warmup: int
    steps: int
    precision: str
    compile: str

    @property
    def examples(self) -> int:
        """One epoch is one measurement."""
        return self.batch_size * (self.warmup + self.steps)


@dataclass(frozen=True)
class Measurement:
    """A round of one way."""

    seconds: float  # per step
    peak: int  # bytes of GPU memory


class Stopwatch:
    """Times the steps after the warm-up, and their peak memory; waits for the GPU only before and after them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cuda = settings.device.startswith("cuda")
        self.began = self.seconds = 0.0
        self.peak = 0

    def step(self, done: int, _steps: int = 0) -> None:
        """Count a step; what `train` takes as `on_step`."""
        if done not in (self.settings.warmup, self.settings.warmup + self.settings.steps):
            return
        if self.cuda:
            torch.cuda.synchronize(self.settings.device)
        if done == self.settings.warmup:
            if self.cuda:
                torch.cuda.reset_peak_memory_stats(self.settings.device)
            self.began = time.perf_counter()
        else:
            self.seconds = (time.perf_counter() - self.began) / self.settings.steps
            self.peak = torch.cuda.max_memory_allocated(self.settings.device) if self.cuda else 0

    def result(self) -> Measurement:
        """Return what was measured."""
        assert self.seconds > 0, "the run was shorter than its steps"
        return Measurement(self.seconds, self.peak)


@functools.cache
def load(settings: Settings) -> Dataset:
    """Return as many images as the steps of a measurement take."""
    count = settings.examples
    if settings.data is None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 10, (count,), generator=generator)
        names = tuple(str(label) for label in range(10))
        return Dataset("python", {"train": Split(images, labels)}, names, mean=(0.5,) * 3, std=(0.25,) * 3)
    dataset = load_dataset(settings.data)
    train_split = dataset.splits["train"]
    if len(train_split) < count:
        raise SystemExit(f"{settings.data} has {len(train_split)} images for {count}; take fewer --steps")
    return replace(dataset, splits={"train": Split(train_split.inputs[:count], train_split.labels[:count])})


# ---- landscape


@functools.cache
def configuration(settings: Settings) -> TrainConfig:
    """Return the settings of an Adam run with nothing left open, so that all rounds have the same precision."""
    config = TrainConfig(
        recipe="adam",
        model=settings.model,
        epochs=1,
        batch_size=settings.batch_size,
        augment="crop-flip",
        device=settings.device,
        precision=settings.precision,  # type: ignore[arg-type]
        compile=settings.compile,  # type: ignore[arg-type]
    )
    return resolve(config, load(settings))


def landscape_steps(settings: Settings, recipe: str) -> Measurement:
    """Time steps of `landscape.training.train`."""
    watch = Stopwatch(settings)
    train(replace(configuration(settings), recipe=recipe), load(settings), on_step=watch.step)
    return watch.result()


# ---- the plain recipe


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A map-style data set as torchvision's: an image at a time, from an array to PIL to a tensor."""

    def __init__(self, dataset: Dataset) -> None:
        import_datasets()  # torchvision, whatever torch stands beside it
        from torchvision import transforms

        split = dataset.splits["train"]
        array = split.inputs.permute(0, 2, 3, 1).contiguous().numpy()
        self.array: Any = array[..., 0] if array.shape[-1] == 1 else array
        self.labels = split.labels.tolist()
        side = array.shape[1:3]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(side, padding=side[0] // 8),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.array[index])), self.labels[index]


class TwoStepSAM(torch.optim.Optimizer):
    """SAM as it is usually wrapped: one loop over the parameters up, one down."""

    def __init__(self, params: Any, base: type[torch.optim.Optimizer], rho: float = 0.05) -> None:
        super().__init__(params, {"rho": rho})
        self.base = base(self.param_groups)  # type: ignore[call-arg]

    @torch.no_grad()
    def first_step(self) -> None:
        """Go from w to w + ρ g / ‖g‖."""
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.norm(torch.stack([p.grad.norm(p=2) for p in parameters]), p=2)
        for p in parameters:
            self.state[p]["before"] = p.data.clone()
            p.add_(p.grad * (self.param_groups[0]["rho"] / (norm + 1e-12)))
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        """Go back to w, and take the base optimizer's step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data = self.state[p]["before"]
        self.base.step()
        self.zero_grad()


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Switch the running statistics of BatchNorm off (0) for the second pass, or on again."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


def plain_steps(settings: Settings, recipe: str) -> Measurement:
    """Time steps of the loop that a user would write."""
    dataset, device = load(settings), torch.device(settings.device)
    torch.manual_seed(0)
    model = build(settings.model, num_classes=len(dataset.classes), in_channels=dataset.input_shape[0]).to(device)
    model.train()
    sam = TwoStepSAM(model.parameters(), torch.optim.Adam) if recipe == "sam" else None
    adam = torch.optim.Adam(model.parameters())
    loader = torch.utils.data.DataLoader(
        Images(dataset),
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=2,
        pin_memory=device.type == "cuda",
        # Linux's own way, as in a script; a process that was spawned would spawn its workers, too.
        multiprocessing_context="fork" if sys.platform == "linux" else None,
    )
    watch = Stopwatch(settings)
    for done, (images, labels) in enumerate(loader, start=1):
        inputs, targets = images.to(device), labels.to(device)
        if sam is None:
            adam.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            adam.step()
        else:
            F.cross_entropy(model(inputs), targets).backward()
            sam.first_step()
            set_momentum(model, 0.0)
            F.cross_entropy(model(inputs), targets).backward()
            sam.second_step()
            set_momentum(model, 0.1)
        watch.step(done)
    return watch.result()


def compiled_steps(settings: Settings, recipe: str) -> Measurement:
    """Time steps of the loop that a careful user would write: nothing but the network, compiled, from the device."""
    dataset, device = load(settings), torch.device(settings.device)
    torch.manual_seed(0)
    model = build(settings.model, num_classes=len(dataset.classes), in_channels=dataset.input_shape[0])
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    compiled = torch.compile(model)
    base = functools.partial(torch.optim.Adam, fused=True)
    sam = TwoStepSAM(model.parameters(), base) if recipe == "sam" else None  # type: ignore[arg-type]
    adam = base(model.parameters())
    images = dataset.preprocess(dataset.splits["train"].inputs.to(device)).to(memory_format=torch.channels_last)
    labels = dataset.splits["train"].labels.to(device)

    def backward(x: Tensor, y: Tensor) -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            outputs = compiled(x)
        F.cross_entropy(outputs.float(), y).backward()

    watch = Stopwatch(settings)
    order = torch.randperm(len(images), device=device)
    for done, index in enumerate(order.split(settings.batch_size), start=1):
        x, y = images[index], labels[index]
        adam.zero_grad()
        backward(x, y)
        if sam is None:
            adam.step()
        else:
            sam.first_step()
            set_momentum(model, 0.0)
            backward(x, y)
            sam.second_step()
            set_momentum(model, 0.1)
        watch.step(done)
    return watch.result()


# ---- the comparison


def start(side: str, threads: int | None) -> None:
    """Prepare a process for one side."""
    if threads:
        torch.set_num_threads(threads)
    if side == "landscape":
        landscape.tune_allocator()


def measure(settings: Settings, side: str, recipe: str) -> Measurement:
    """Run in the side's process."""
    return STEPS[side](settings, recipe)


STEPS = {"landscape": landscape_steps, "plain": plain_steps, "compiled": compiled_steps}


def describe(settings: Settings) -> str:
    """Return in words what landscape's side was measured with; run in its process."""
    config, cuda = configuration(settings), settings.device.startswith("cuda")
    device = torch.cuda.get_device_name(settings.device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    compiled = "compiled" if config.compile == "on" else "eager"
    return (
        f"{settings.model}, batch {settings.batch_size}, {device}, torch {torch.__version__}; "
        f"landscape in {config.precision}, {compiled}"
    )


def parse() -> tuple[Settings, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", help="as landscape's --data; random images of CIFAR's shape without it")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="timed steps of a measurement; by default 20, on a GPU 300")
    parser.add_argument("--warmup", type=int, help="steps before them; by default 5, on a GPU 50")
    parser.add_argument("--precision", default="auto", help="of landscape's side")
    parser.add_argument("--compile", help="on or off for landscape's side; by default as in a long run: on for a GPU")
    parser.add_argument("--compiled", action="store_true", help="also the compiled recipe, which a GPU always gets")
    parser.add_argument("--threads", type=int, help="of each side; by default torch's choice")
    parser.add_argument("--json", type=Path, help="file for the medians, seconds per step")
    given = parser.parse_args()
    cuda = given.device.startswith("cuda")
    settings = Settings(
        model=given.model,
        data=given.data,
        device=given.device,
        batch_size=given.batch_size,
        warmup=given.warmup or (50 if cuda else 5),
        steps=given.steps or (300 if cuda else 20),
        precision=given.precision,
        compile=given.compile or ("on" if cuda else "off"),
    )
    return settings, given


def main() -> None:
    settings, given = parse()
    spawn = multiprocessing.get_context("spawn")
    ways = {
        name: way
        for name, way in WAYS.items()
        if way[0] != "compiled" or given.compiled or settings.device.startswith("cuda")
    }
    sides = {
        side: ProcessPoolExecutor(1, mp_context=spawn, initializer=start, initargs=(side, given.threads))
        for side, _ in ways.values()
    }
    found: dict[str, list[Measurement]] = {name: [] for name in ways}
    print(sides["landscape"].submit(describe, settings).result())
    for _ in range(given.rounds):
        for name, (side, recipe) in ways.items():
            found[name].append(sides[side].submit(measure, settings, side, recipe).result())
    for executor in sides.values():
        executor.shutdown()
    print(f"{given.rounds} rounds of {settings.steps} steps each; medians:\n")
    report(settings, found)
    if given.json:
        seconds = {name: statistics.median(m.seconds for m in each) for name, each in found.items()}
        given.json.write_text(json.dumps({"batch_size": settings.batch_size, "seconds": seconds}, indent=1))


def report(settings: Settings, found: dict[str, list[Measurement]]) -> None:
    """Print the table, the ratios beside their goals, and the memory."""
    seconds = {name: statistics.median(m.seconds for m in each) for name, each in found.items()}
    print(f"{'':20}{'ms/step':>10}{'images/s':>12}   (slowest to fastest round)")
    for name, each in found.items():
        rates = sorted(settings.batch_size / m.seconds for m in each)
        rate = settings.batch_size / seconds[name]
        print(f"{name:20}{1000 * seconds[name]:10.2f}{rate:12,.0f}   ({rates[0]:,.0f} to {rates[-1]:,.0f})")
    cuda = settings.device.startswith("cuda")
    least = 5.0 if cuda else 3.0
    print("\nratio of medians")
    goal("landscape's SAM step / its Adam step", seconds["landscape, SAM"] / seconds["landscape, Adam"], most=2.05)
    goal("plain SAM step / plain Adam step", seconds["plain recipe, SAM"] / seconds["plain recipe, Adam"])
    for recipe in ("Adam", "SAM"):
        ratio = seconds[f"plain recipe, {recipe}"] / seconds[f"landscape, {recipe}"]
        goal(f"images/s with {recipe}, landscape / plain", ratio, least=least)
        if f"compiled recipe, {recipe}" in seconds:
            ratio = seconds[f"compiled recipe, {recipe}"] / seconds[f"landscape, {recipe}"]
            goal(f"images/s with {recipe}, landscape / compiled", ratio)
    if not cuda:
        print("\nmemory is measured on a GPU only")
        return
    goal("images/s with Adam / 150,000", settings.batch_size / seconds["landscape, Adam"] / 150_000, least=1.0)
    with torch.device("meta"):
        copy = sum(4 * p.numel() for p in build(settings.model).parameters())
    print("\npeak GPU memory during the steps, MiB")
    for side in ("plain recipe", "landscape"):
        adam, sam = (max(m.peak for m in found[f"{side}, {recipe}"]) for recipe in ("Adam", "SAM"))
        print(f"  {side}: Adam {adam / 2**20:.2f}, SAM {sam / 2**20:.2f}")
        goal(f"{side}: what SAM adds / one copy of the parameters", (sam - adam) / copy, most=1.1)


def goal(what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
    """Print a number and, where there is a goal, whether it was reached."""
    verdict = ""
    if least is not None:
        verdict = f"   goal: at least {least:g}, {'reached' if value >= least else 'missed'}"
    if most is not None:
        verdict = f"   goal: at most {most:g}, {'reached' if value <= most else 'missed'}"
    print(f"  {what:58}{value:8.2f}{verdict}")


if __name__ == "__main__":
    main()
