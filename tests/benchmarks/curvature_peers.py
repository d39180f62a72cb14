"""The largest Hessian eigenvalues of a ResNet-20 by landscape, curvlinops + eigsh and PyHessian, side by side.

    pip install curvlinops-for-pytorch PyHessian
    python tests/benchmarks/curvature_peers.py [--checkpoint FILE.pt] [--data cifar10] [--examples 1000] [--rounds 3]

Everybody gets the same weights, images, loss and threads, and its own process, so that its peak memory is its own.
The peers are given batches of --batch-size; landscape is given the images and cuts its own. The clock runs from weights
and images in memory to eigenvalues: what a tool sets up, folds, probes or records counts, importing it does not. Rounds
alternate between the tools; round i starts from the random vector of seed i.

    landscape   hessian(objective, top=k), tolerance 1e-3, its own checks included
    curvlinops  HessianLinearOperator and scipy's eigsh(which="LA", tol=1e-3); its check of the data's order is left out
    pyhessian   the package's eigenvalues(top_n=k) at its defaults (power iteration with deflation), given a data loader
    pyhessian1  the same given one batch, whose graph it keeps: fewer passes, much memory

The reference is of nobody: torch's forward over reverse mode of the plain model, eigsh in float32 with a guard vector,
then Rayleigh–Ritz of products in float64, its own error estimated by the squared residuals over the gap. It takes
minutes; --reference FILE keeps it for the next run. landscape tunes glibc's allocator, as its command line does; the
others are as their users have them, unless --allocator says so (all, or none).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

import landscape
from landscape.data import load_dataset, stratified_subset
from landscape.models.checkpoint import build_model

TOOLS = ("landscape", "curvlinops", "pyhessian", "pyhessian1")
PACKAGES = {"curvlinops": "curvlinops-for-pytorch", "pyhessian": "PyHessian"}
GUARDS = 1  # eigenvectors beyond the wanted ones in the reference's Rayleigh–Ritz
GOALS = {"curvlinops": (1 / 5, 1 / 3), "pyhessian": (1 / 10, 1 / 6)}  # of the time: aimed at, and at most

Batches = list[tuple[Tensor, Tensor]]


class Problem:
    """The model, its images in batches, and how many eigenvalues are wanted."""

    def __init__(self, options: argparse.Namespace) -> None:
        checkpoint = landscape.load_checkpoint(options.checkpoint)
        self.device = torch.device(options.device)
        self.model = build_model(checkpoint).eval().to(self.device)
        data = load_dataset(options.data)
        train = data.splits["train"]
        chosen = stratified_subset(train.labels, options.examples, seed=0)
        mean, std = (torch.tensor(checkpoint.data[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
        self.images = ((train.inputs[chosen].float() / 255 - mean) / std).to(self.device)
        self.labels = train.labels[chosen].to(self.device)
        self.batch_size, self.top = options.batch_size, options.top
        self.parameters = list(self.model.parameters())
        self.size = sum(p.numel() for p in self.parameters)

    @property
    def batches(self) -> Batches:
        """The images and labels, batch by batch."""
        return list(zip(self.images.split(self.batch_size), self.labels.split(self.batch_size), strict=True))

    def digest(self) -> str:
        """Return what tells problems apart."""
        sha = hashlib.sha256()
        for tensor in (*self.parameters, *self.model.buffers(), self.images, self.labels):
            sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return f"{sha.hexdigest()}-{self.top}"


# ---- the tools: each returns eigenvalues, products and what else it says


def by_landscape(problem: Problem, seed: int) -> dict[str, Any]:
    objective = landscape.Objective(
        problem.model, "cross_entropy", problem.images, problem.labels, device=problem.device
    )
    found = landscape.hessian(objective, top=problem.top, seed=seed)
    return {
        "eigenvalues": found.eigenvalues.tolist(),
        "bounds": found.bounds.tolist(),
        "converged": found.converged.tolist(),
        "products": found.products,
        "by": found.attributes.get("products_by_operator", {}),
    }


def by_curvlinops(problem: Problem, seed: int) -> dict[str, Any]:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import LinearOperator, eigsh

    loss = nn.CrossEntropyLoss()
    operator = HessianLinearOperator(
        problem.model, loss, problem.parameters, problem.batches, check_deterministic=False
    ).to_scipy()
    count = 0

    def counted(vector: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return operator @ vector

    start = np.random.default_rng(seed).standard_normal(problem.size).astype(np.float32)
    wrapped = LinearOperator(operator.shape, matvec=counted, dtype=operator.dtype)
    values, _ = eigsh(wrapped, k=problem.top, which="LA", tol=1e-3, v0=start)
    return {"eigenvalues": sorted(values.tolist(), reverse=True), "products": count}


def by_pyhessian(problem: Problem, seed: int, *, one_batch: bool = False) -> dict[str, Any]:
    package: Any = importlib.import_module("pyhessian.hessian")  # `import` would give the class of that name
    torch.manual_seed(seed)
    loss, cuda, count = nn.CrossEntropyLoss(), problem.device.type == "cuda", 0

    def counting(product: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            return product(*arguments)

        return counted

    if one_batch:
        package.hessian_vector_product = counting(package.hessian_vector_product)
        computer = package.hessian(problem.model, loss, data=(problem.images, problem.labels), cuda=cuda)
    else:
        computer = package.hessian(problem.model, loss, dataloader=problem.batches, cuda=cuda)
        computer.dataloader_hv_product = counting(computer.dataloader_hv_product)
    values, _ = computer.eigenvalues(top_n=problem.top)
    return {"eigenvalues": values, "products": count}  # in the order found, as its users see them


RUN: dict[str, Callable[[Problem, int], dict[str, Any]]] = {
    "landscape": by_landscape,
    "curvlinops": by_curvlinops,
    "pyhessian": by_pyhessian,
    "pyhessian1": lambda problem, seed: by_pyhessian(problem, seed, one_batch=True),
}


# ---- the reference


def plain_product(problem: Problem, dtype: torch.dtype) -> Callable[[np.ndarray], np.ndarray]:
    """Return v → H v by torch's forward over reverse mode of the plain model, in one precision.

    (Its double backward takes convolutions with kernels as large as the image: in float64 twice as long.)
    """
    model = problem.model.to(dtype)
    point = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in point.values()]

    def loss(images: Tensor, labels: Tensor, weights: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, weights, (images,)), labels, reduction="sum")

    def product(vector: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(np.ascontiguousarray(vector)).to(problem.device, dtype).reshape(-1)
        along = {n: part.view_as(w) for (n, w), part in zip(point.items(), flat.split(sizes), strict=True)}
        total = torch.zeros_like(flat)
        for images, labels in problem.batches:
            parts = jvp(grad(partial(loss, images.to(dtype), labels)), (point,), (along,))[1]
            total += torch.cat([parts[name].reshape(-1) for name in point])
        return (total / len(problem.labels)).double().cpu().numpy()

    return product


def reference(problem: Problem) -> dict[str, Any]:
    """Return the eigenvalues to float64, and an estimate of what they are still off by."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    wanted, joined = problem.top, problem.top + GUARDS
    shape = (problem.size, problem.size)
    rough = LinearOperator(shape, matvec=plain_product(problem, torch.float32), dtype=np.float64)
    start = np.random.default_rng(12345).standard_normal(problem.size)
    _, vectors = eigsh(rough, k=joined, which="LA", tol=1e-3, v0=start)
    basis = np.linalg.qr(vectors)[0]
    product = plain_product(problem, torch.float64)
    images = np.stack([product(column) for column in basis.T], axis=1)
    projected = basis.T @ images
    values, s = np.linalg.eigh((projected + projected.T) / 2)
    residuals = np.linalg.norm(images @ s - basis @ s * values, axis=0)
    values, residuals = values[::-1], residuals[::-1]
    gap = values[:wanted] - values[-1]  # to the last guard: what lies below was left out
    errors = np.minimum(residuals[:wanted], (residuals**2).sum() / gap)
    return {"eigenvalues": values[:wanted].tolist(), "error": (errors / np.abs(values[:wanted])).tolist()}


# ---- a process of its own for each


def peak_bytes(device: torch.device) -> int:
    """Return the most memory this process has held: of the GPU where there is one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # of this program alone; getrusage's peak is inherited from the parent
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak(device: torch.device) -> int:
    """Begin to measure the peak anew, where that can be, and return what it is now: loading the data is nobody's."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes(device)


def work(tool: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a tool finds, and what that takes; this is the process of its own."""
    warnings.filterwarnings("ignore")
    if options.threads:
        torch.set_num_threads(options.threads)
    problem = Problem(options)
    if options.allocator == "all" or (options.allocator == "landscape" and tool in ("landscape", "reference")):
        landscape.tune_allocator()  # from here on: what loading the images has freed goes back to the system
    if tool == "reference":
        return {"digest": problem.digest(), **reference(problem)}
    imported = {"landscape": "landscape.analysis.curvature.eigenvalues", "curvlinops": "curvlinops"}.get(
        tool, "pyhessian"
    )
    importlib.import_module(imported)
    import scipy.sparse.linalg  # noqa: F401

    before = forget_peak(problem.device)
    started = time.perf_counter()
    found = RUN[tool](problem, options.seed)
    if problem.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    about = {"threads": torch.get_num_threads(), "torch": torch.__version__, "parameters": problem.size}
    return {**found, "seconds": seconds, "peak": peak_bytes(problem.device), "before": before, **about}


def spawn(tool: str, seed: int) -> dict[str, Any]:
    """Return what `work` does in a new process, {"failed": why} where it ends badly."""
    words = [sys.executable, __file__, *sys.argv[1:], "--only", tool, "--seed", str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"failed": f"{last} (exit status {done.returncode})"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="checkpoints/resnet20-cifar10-sam.pt")
    parser.add_argument("--data", default="cifar10", help="as landscape's --data: cifar10, folder:PATH, npz:FILE")
    parser.add_argument("--examples", type=int, default=1000, help="a stratified sample of the train split")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="by default torch's choice")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"some of {','.join(TOOLS)}")
    parser.add_argument("--allocator", default="landscape", choices=("landscape", "all", "none"), help="who tunes it")
    parser.add_argument("--reference", type=Path, help="file that keeps the float64 reference between runs")
    parser.add_argument("--no-reference", action="store_true", help="without errors; quick")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--only", choices=(*TOOLS, "reference"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.tools = given.tools.split(",")
    if not set(given.tools) <= set(TOOLS):
        parser.error(f"--tools {','.join(given.tools)}: expected some of {','.join(TOOLS)}")
    return given


def known_reference(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the float64 eigenvalues, from the file where it has them for this very problem."""
    if options.no_reference:
        return None
    kept = options.reference
    if kept is not None and kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["digest"] == Problem(options).digest():
            return found
    print("computing the float64 reference ...", file=sys.stderr, flush=True)
    found = spawn("reference", 0)
    if "failed" in found:
        raise SystemExit(f"the reference failed: {found['failed']}")
    if kept is not None:
        kept.write_text(json.dumps(found))
    return found


def main() -> None:
    options = parse()
    if options.only:
        print(json.dumps(work(options.only, options)))
        return
    exact = known_reference(options)
    rounds: dict[str, list[dict[str, Any]]] = {tool: [] for tool in options.tools}
    for seed in range(options.rounds):
        for tool, found in rounds.items():
            if found and "failed" in found[-1]:
                continue
            found.append(spawn(tool, seed))
            said = found[-1].get("failed") or f"{found[-1]['seconds']:.1f} s"
            print(f"round {seed + 1}, {tool}: {said}", file=sys.stderr, flush=True)
    failed = {tool: found[-1]["failed"] for tool, found in rounds.items() if "failed" in found[-1]}
    measured = {tool: found for tool, found in rounds.items() if tool not in failed}
    if options.json:
        settings = {name: str(value) for name, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": settings, "reference": exact, "rounds": rounds}, indent=1))
    for tool, why in failed.items():
        package = PACKAGES.get(tool.rstrip("1"))
        hint = f"; pip install {package}" if package and "No module" in why else ""
        print(f"{tool} is left out: {why}{hint}")
    if measured:
        report(options, measured, exact)


# ---- the report


def errors(found: dict[str, Any], exact: dict[str, Any]) -> np.ndarray:
    """Return the relative error of each eigenvalue of its place."""
    right = np.array(exact["eigenvalues"])
    return np.abs(np.array(found["eigenvalues"]) - right) / np.abs(right)


def report(options: argparse.Namespace, rounds: dict[str, list[dict[str, Any]]], exact: dict[str, Any] | None) -> None:
    """Print the tables: what each takes, how good it is, and the ratios beside their goals."""
    some = next(iter(rounds.values()))[0]
    print(
        f"{Path(options.checkpoint).name}, {some['parameters']:,} parameters, {options.examples} images of "
        f"{options.data.partition(':')[0]}, peers' batches of {options.batch_size}, top {options.top}; "
        f"{options.device}, {some['threads']} threads, torch {some['torch']}, allocator tuned: {options.allocator}; "
        f"medians of {options.rounds} rounds\n"
    )
    print(
        f"{'':12}{'seconds':>9}{'(least to most)':>18}{'products':>10}{'s/product':>11}{'peak MiB':>10}{'of these':>10}"
    )
    seconds, peaks = {}, {}
    for tool, found in rounds.items():
        times = [one["seconds"] for one in found]
        seconds[tool], peaks[tool] = statistics.median(times), statistics.median(one["peak"] for one in found)
        products = statistics.median(one["products"] for one in found)
        own = statistics.median(one["peak"] - one["before"] for one in found)
        span = f"({min(times):.1f} to {max(times):.1f})"
        print(
            f"{tool:12}{seconds[tool]:9.1f}{span:>18}{products:10g}{seconds[tool] / products:11.2f}"
            f"{peaks[tool] / 2**20:10,.0f}{own / 2**20:10,.0f}"
        )
    print("(of these: beyond torch, weights and images; s/product holds all set-up)\n")
    tell_values(rounds, exact)
    if "landscape" not in rounds:
        return
    print("\nratio of medians, landscape / peer")
    for tool, (aim, most) in GOALS.items():
        # PyHessian's better way counts
        peers = [seconds[name] for name in (tool, f"{tool}1") if name in seconds]
        if peers:
            goal(f"seconds, {tool}", seconds["landscape"] / min(peers), aim, most)
    others = [peak for tool, peak in peaks.items() if tool != "landscape"]
    if others:
        goal("peak memory, best peer", peaks["landscape"] / min(others), 2.0, 2.0)


def tell_values(rounds: dict[str, list[dict[str, Any]]], exact: dict[str, Any] | None) -> None:
    """Print the eigenvalues of the first round, and the worst errors of all rounds."""
    print(
        f"{'':12}"
        + "".join(f"{f'λ{place + 1}':>12}" for place in range(len(next(iter(rounds.values()))[0]["eigenvalues"])))
    )
    if exact is not None:
        print(f"{'float64':12}" + "".join(f"{value:12.5f}" for value in exact["eigenvalues"]))
    for tool, found in rounds.items():
        print(f"{tool:12}" + "".join(f"{value:12.5f}" for value in found[0]["eigenvalues"]))
    for found in rounds.get("landscape", [])[:1]:
        print(f"{'  its bound':12}" + "".join(f"{bound:12.1e}" for bound in found["bounds"]))
        print(f"  landscape's products: {', '.join(f'{n} {name}' for name, n in found['by'].items())}")
    if exact is None:
        return
    print(f"\nlargest relative error over the places and rounds (the reference's own: {max(exact['error']):.0e})")
    for tool, found in rounds.items():
        print(f"  {tool:12}{max(float(errors(one, exact).max()) for one in found):.1e}")
    for found in [rounds.get("landscape", [])]:
        if found:
            right = np.array(exact["eigenvalues"])
            bounds = max(float((np.array(one["bounds"]) / right).max()) for one in found)
            slack = np.array(exact["error"]) * np.abs(right)
            held = all(
                (np.abs(np.array(one["eigenvalues"]) - right) <= np.array(one["bounds"]) + slack).all() for one in found
            )
            flags = all(all(one["converged"]) for one in found)
            print(
                f"  landscape states {bounds:.1e} at most; every error is {'within' if held else 'NOT within'} its "
                f"bound, {'all' if flags else 'NOT all'} are called converged"
            )


def goal(what: str, value: float, aim: float, most: float) -> None:
    """Print a ratio beside its goals."""
    verdict = "reached" if value <= aim else ("within the limit" if value <= most else "MISSED")
    print(f"  {what:26}{value:7.3f}   aim {aim:.3f}, at most {most:.3f}: {verdict}")


if __name__ == "__main__":
    main()
