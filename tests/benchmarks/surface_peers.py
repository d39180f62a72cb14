"""A point of a surface by landscape, by loss-landscape's procedure and by the packages, side by side.

    pip install --no-deps loss-landscapes landscaper && pip install tqdm
    python tests/benchmarks/surface_peers.py [--checkpoint FILE.pt] [--data cifar10] [--examples 1000] [--rounds 7]

Everybody gets the same weights, images, loss and threads, and a process of its own, so that its allocator is its own.
The clock runs from the coordinates of a point to its mean loss as a number. Rounds alternate between the tools, a new
point each; medians over the rounds and their ratios are printed with the goals, and errors against float64.

    landscape         a point of `landscape.surface`, loss and accuracy with standard errors; allocator tuned, as its
                      command line does
    crunch            what loss-landscape's `plot_surface.py` does at a point (its functions crunch, set_weights and
                      eval_loss at its defaults, written anew): new weights set one by one, then an eager float32 pass
                      over a DataLoader of two workers that decode and normalize PIL images in batches of 128, the loss
                      read at every batch, and the grid written to an HDF5 file; malloc as its users have it
    crunch, tuned     the same with landscape's allocator settings
    crunch in memory  the same without loader, from ready batches in memory, with and without the allocator's settings:
                      nobody's users have it, but it is the strictest to be compared with, so that the goals are of it
    loss-landscapes   the package's random_plane with its Loss: all images in one batch
    landscaper        the package's compute_loss_landscape with a function that goes over ready batches of 128; of the
                      package only what computes is imported, since its topology libraries must be compiled

The last two choose their own points, so they have no error here. Random images of CIFAR's shape unless --data names
others; speed does not depend on their values, errors do. With --device cuda all of it runs on a GPU, the ready batches
lie there, and one more way joins: crunch in memory with its network `torch.compile`d.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.util
import io
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

import landscape
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, choose_settings
from landscape.analysis.surfaces.grids.grid import Request
from landscape.analysis.surfaces.measuring import Measurer
from landscape.data import load_dataset, stratified_subset
from landscape.data.downloads import import_datasets
from landscape.models.checkpoint import build_model

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "resnet20-cifar10-sam.pt"
PACKAGES = {"loss-landscapes": "loss_landscapes", "landscaper": "landscaper"}
GOALS = [  # ours, theirs, the ratio aimed at and the least one
    ("landscape, bfloat16", "crunch in memory, tuned", 2.8, 2.5),
    ("landscape, float32", "crunch in memory, tuned", 1.45, 1.3),
    ("landscape, bfloat16", "crunch in memory", 6.0, 5.5),
    ("landscape, bfloat16", "crunch", 6.0, 5.5),
]
ERRORS = {"landscape, bfloat16": 1e-2, "landscape, float32": 1e-6}  # relative, at most

Point = tuple[float, float]
Timed = tuple[float, float | None]  # seconds of a point; its loss where the point is the one asked for
Way = Callable[[Point], Timed]


@dataclass(frozen=True)
class Problem:
    """The model and its examples."""

    model: nn.Module
    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor
    mean: Tensor  # (1, C, 1, 1)
    std: Tensor
    device: torch.device

    @classmethod
    def read(cls, options: argparse.Namespace) -> Problem:
        checkpoint = landscape.load_checkpoint(options.checkpoint)
        generator = torch.Generator().manual_seed(0)
        if options.data:
            train = load_dataset(options.data).splits["train"]
            chosen = stratified_subset(train.labels, options.examples, seed=0)
            images, labels = train.inputs[chosen], train.labels[chosen]
        else:
            size = (options.examples, 3, options.side, options.side)
            images = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
            labels = torch.randint(0, 10, (options.examples,), generator=generator)
        mean, std = (torch.tensor(checkpoint.data[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
        device = torch.device(options.device)
        return cls(build_model(checkpoint).eval().to(device), images, labels, mean, std, device)

    def normalized(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self.mean.to(images.device)) / self.std.to(images.device)

    def batches(self, size: int) -> list[tuple[Tensor, Tensor]]:
        images, labels = self.normalized(self.images).to(self.device), self.labels.to(self.device)
        return list(zip(images.split(size), labels.split(size), strict=True))

    def plane(self) -> Plane:
        few = self.batches(8)[0]
        return random_plane(landscape.Objective(self.model, "cross_entropy", *few, device=self.device), seed=0)


# ---- the ways: each is made once in its process, then asked for points


def by_landscape(problem: Problem, precision: str) -> Way:
    objective = landscape.Objective(
        problem.model,
        "cross_entropy",
        problem.images,
        problem.labels,
        device=problem.device,
        preprocess=problem.normalized,
    )
    plane = random_plane(objective, seed=0)
    settings = choose_settings(objective, plane, [(0.3, 0.2)], Evaluation(precision=precision))  # type: ignore[arg-type]
    measurer = Measurer(objective, plane, ("train",), settings)

    def point(at: Point) -> Timed:
        started = time.perf_counter()
        rows = measurer.rows(measurer.launch(Request(0, *at)))
        return time.perf_counter() - started, float(rows["value"][0])

    return point


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets give them: decoded to PIL, then transformed, one by one."""

    def __init__(self, problem: Problem) -> None:
        import_datasets()  # torchvision, whatever torch stands beside it
        from torchvision import transforms

        self._images = problem.images.permute(0, 2, 3, 1).numpy()
        self._labels = problem.labels.tolist()
        mean, std = problem.mean.flatten().tolist(), problem.std.flatten().tolist()
        self._transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def by_crunch(problem: Problem, loader: bool, *, compiled: bool = False) -> Way:
    network, criterion, device = copy.deepcopy(problem.model), nn.CrossEntropyLoss(), problem.device
    forward = torch.compile(network) if compiled else network
    plane = problem.plane()
    named = dict(network.named_parameters())
    start = [p.data for p in named.values()]
    directions = [  # as they come from its file: NumPy arrays, zero for biases and BatchNorm
        [d[name].cpu().numpy() if name in d else np.zeros(p.shape, dtype=np.float32) for name, p in named.items()]
        for d in plane.directions
    ]
    batches: Any = problem.batches(128)
    if loader:
        pictures = Pictures(problem)
        sampler = SubsetRandomSampler(range(len(pictures)))
        context = "fork" if sys.platform == "linux" else None  # as its users have it
        batches = DataLoader(
            pictures,
            batch_size=128,
            sampler=sampler,
            num_workers=2,
            multiprocessing_context=context,
            pin_memory=device.type == "cuda",
        )
    folder = tempfile.mkdtemp()
    file = h5py.File(Path(folder) / "surface.h5", "w")
    losses, accuracies = -np.ones((51, 51)), -np.ones((51, 51))
    file["train_loss"], file["train_acc"] = losses, accuracies

    def point(at: Point) -> Timed:
        started = time.perf_counter()
        steps = [d0 * at[0] + d1 * at[1] for d0, d1 in zip(*directions, strict=True)]
        for parameter, w, step in zip(named.values(), start, steps, strict=True):
            parameter.data = w + torch.Tensor(step).to(device)
        network.eval()
        total, correct, seen = 0.0, 0, 0
        with torch.no_grad():
            for inputs, targets in batches:
                inputs, targets = inputs.to(device), targets.to(device)
                outputs = forward(inputs)
                total += criterion(outputs, targets).item() * len(inputs)
                correct += outputs.max(1)[1].eq(targets).sum()
                seen += len(inputs)
        losses[0, 0], accuracies[0, 0] = total / seen, 100.0 * float(correct) / seen
        file["train_loss"][:], file["train_acc"][:] = losses, accuracies
        return time.perf_counter() - started, total / seen

    return point


def by_loss_landscapes(problem: Problem) -> Way:
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    images, labels = problem.normalized(problem.images).to(problem.device), problem.labels.to(problem.device)
    metric = Loss(nn.CrossEntropyLoss(), images, labels)

    def point(at: Point) -> Timed:
        started = time.perf_counter()
        found = loss_landscapes.random_plane(problem.model, metric, distance=1, steps=2, deepcopy_model=True)
        return (time.perf_counter() - started) / found.size, None

    return point


def alone(package: str, name: str) -> Any:
    """Return a module of a package without what the package imports at its start.

    landscaper's computing needs torch and tqdm; its pictures and topology need libraries that have to be compiled.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None
    sys.modules[package] = types.ModuleType(package)
    sys.modules[package].__path__ = list(spec.submodule_search_locations or ())
    return importlib.import_module(f"{package}.{name}")


def by_landscaper(problem: Problem) -> Way:
    compute_loss_landscape = alone("landscaper", "compute").compute_loss_landscape
    batches, criterion = problem.batches(128), nn.CrossEntropyLoss(reduction="sum")
    directions = [[torch.randn_like(p) for p in problem.model.parameters()] for _ in range(2)]

    def loss(model: nn.Module, data: list[tuple[Tensor, Tensor]]) -> float:
        return sum(criterion(model(inputs), targets).item() for inputs, targets in data) / len(problem.labels)

    def point(at: Point) -> Timed:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            started = time.perf_counter()
            device = str(problem.device)
            found, _ = compute_loss_landscape(problem.model, batches, directions, loss, steps=2, dim=2, device=device)
            return (time.perf_counter() - started) / found.size, None

    return point


WAYS: dict[str, tuple[bool, Callable[[Problem], Way]]] = {  # whether the allocator is tuned
    "landscape, bfloat16": (True, lambda problem: by_landscape(problem, "bfloat16")),
    "landscape, float32": (True, lambda problem: by_landscape(problem, "float32")),
    "crunch": (False, lambda problem: by_crunch(problem, loader=True)),
    "crunch, tuned": (True, lambda problem: by_crunch(problem, loader=True)),
    "crunch in memory": (False, lambda problem: by_crunch(problem, loader=False)),
    "crunch in memory, tuned": (True, lambda problem: by_crunch(problem, loader=False)),
    "crunch in memory, compiled": (True, lambda problem: by_crunch(problem, loader=False, compiled=True)),
    "loss-landscapes": (False, by_loss_landscapes),
    "landscaper": (False, by_landscaper),
}

_way: Way


def prepare(name: str, options: argparse.Namespace) -> None:
    """Make a way ready in its process."""
    global _way
    tuned, make = WAYS[name]
    if tuned:
        landscape.tune_allocator()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    _way = make(Problem.read(options))


def measure(at: Point) -> Timed:
    """Measure one point in its process."""
    return _way(at)


def exact(problem: Problem, plane: Plane, at: Point) -> float:
    """Return the mean loss at a point by a plain pass in float64."""
    network = copy.deepcopy(problem.model)
    network.load_state_dict(plane.at(*at), strict=False)
    network.double().eval()
    with torch.no_grad():
        found = [nn.functional.cross_entropy(network(x.double()), y, reduction="sum") for x, y in problem.batches(250)]
    return float(torch.stack(found).sum()) / len(problem.labels)


def report(options: argparse.Namespace, seconds: dict[str, list[float]], errors: dict[str, list[float]]) -> None:
    """Print medians, ratios, errors, and how they stand to the goals."""
    examples = options.examples
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    where = options.device if options.device != "cpu" else f"{options.threads} threads"
    print(f"{where}, {examples} images, {options.rounds} rounds, torch {torch.__version__}; medians:")
    ours = [name for name in medians if name in ERRORS]
    print(f"{'':23} {'s a point':>10} {'images/s':>9}  {'  '.join(f'{name} is' for name in ours)}   error (worst)")
    for name, median in medians.items():
        ratios = "  ".join(f"{median / medians[own]:{len(own) + 2}.2f}x" for own in ours)
        off = f"   {statistics.median(errors[name]):.1e} ({max(errors[name]):.1e})" if errors.get(name) else ""
        print(f"{name:23} {median:10.4f} {examples / median:9,.0f} {ratios}{off}")
    for mine, theirs, goal, least in GOALS:
        if {mine, theirs} <= medians.keys():
            ratio = medians[theirs] / medians[mine]
            verdict = "met" if ratio >= goal else "within the least" if ratio >= least else "MISSED"
            print(f"{mine} against {theirs}: {ratio:.2f}x (goal {goal}x, at least {least}x): {verdict}")
    for name, most in ERRORS.items():
        if errors.get(name):
            verdict = "met" if max(errors[name]) <= most else "MISSED"
            print(f"{name}: off by at most {max(errors[name]):.1e} of float64 (at most {most:.0e}): {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    parser.add_argument("--data", help="cifar10, folder:PATH, ...; random images by default")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--only", help="comma-separated: landscape, crunch, loss-landscapes, landscaper; all by default"
    )
    parser.add_argument("--span", type=float, default=0.5, help="points are drawn from this square around the centre")
    parser.add_argument("--json", help="write every measurement to this file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=32, help="of random images, in pixels")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    tools = {name: name.split(",")[0].removesuffix(" in memory") for name in WAYS if on_gpu or "compiled" not in name}
    names = [name for name, tool in tools.items() if options.only is None or tool in options.only.split(",")]
    for name, package in PACKAGES.items():
        if name in names and importlib.util.find_spec(package) is None:
            print(f"{name} is not installed and left out: pip install --no-deps {name}")
            names.remove(name)
    if "landscape, bfloat16" in names and not (on_gpu or torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        print("this processor has no bfloat16 of its own, so that it would be emulated: left out")
        names.remove("landscape, bfloat16")
    draws = np.random.default_rng(0).uniform(-options.span, options.span, (options.rounds + 1, 2))
    points: list[Point] = [(float(a), float(b)) for a, b in draws]
    spawn = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    losses: dict[str, list[float | None]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        pools = {
            name: stack.enter_context(
                ProcessPoolExecutor(1, mp_context=spawn, initializer=prepare, initargs=(name, options))
            )
            for name in names
        }
        for number, at in enumerate(points):
            for name, pool in pools.items():
                spent, loss = pool.submit(measure, at).result()
                if number:  # the first round makes ready and warms up
                    seconds[name].append(spent)
                    losses[name].append(loss)
    problem = Problem.read(options)
    plane = problem.plane()
    truth = [exact(problem, plane, at) for at in points[1:]]
    errors = {
        name: [abs(loss / value - 1) for loss, value in zip(found, truth, strict=True) if loss is not None]
        for name, found in losses.items()
    }
    report(options, seconds, errors)
    if options.json:
        found = {"seconds": seconds, "losses": losses, "float64": truth, "points": points[1:], **vars(options)}
        Path(options.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
