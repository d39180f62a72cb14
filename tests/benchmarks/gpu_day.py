"""Everything that needs a GPU, in one short slot: tests, floors, a pair on CIFAR-10, its analysis, a profile, peers.

    python tests/benchmarks/gpu_day.py --budget 720 --data cifar10-jpeg.tar.xz --out gpu-day [--pack FOLDER]
    python tests/benchmarks/gpu_day.py --cargo --data cifar10-jpeg.tar.xz

Steps run in the order of their worth, each in a process of its own that is killed at its limit or at the end of the
budget. What a step has found by then stays: results are stored as they come (checkpoints and their unfinished runs,
gpu-day.h5 and its journal, results.jsonl with a line per step, logs/). The same command resumes: finished steps are
skipped, training and measurements continue where they stopped. A summary with the goals is printed last. --cargo lists
the packages and the images to take to a machine without a network.

    tests             pytest -m gpu
    floors            copy bandwidth, bf16 matrix rate, a plain and our pass of ResNet-20 over the training images
    pair              SAM 100 and Adam 200 epochs, seed 0, weights kept every 10 epochs
    surface           51 × 51 points of all the training images, exact, of both
    eigenvalues       the five largest of the Hessian on all the training images, and its trace
    sharpness         every measure on all the training images
    profile           of a training step, a surface pass and a product: the ten longest kernels, and the gaps
    convexity         21 × 21 points on 2,000 images
    training peers    the usual recipe, eager and compiled, beside ours
    surface peers     loss-landscape's procedure, eager and compiled, beside ours
    curvature peers   curvlinops and PyHessian beside ours
    seeds             the pair with seeds 1 to 4, as time allows

`--device cpu --tiny` runs every step on a few small images, to test this script. --data is a folder with train/CLASS
and test/CLASS, a tar archive of one, or what landscape's --data takes. With --pack, results.jsonl, summary.md and
archives of at most --volume MiB of all files are written to another folder after each step, for places that take few
files of limited size; unpack them in --out to resume on another machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import gpu_day_cargo as cargo  # noqa: E402
import gpu_day_report as report  # noqa: E402

DONE, STOPPED = "done", "stopped at its limit"
RESERVE = 8.0  # seconds of the budget for the summary
LEAST = 5.0  # seconds that a step is started with
SNAPSHOT_EVERY = 10  # epochs

Action = tuple[str, Sequence[str]]  # what runs it (see `RUNNERS`), and its arguments


@dataclass(frozen=True)
class Day:
    """The options, and where things are."""

    device: str
    tiny: bool
    out: Path
    data: str  # as landscape's --data

    @property
    def judged(self) -> bool:
        """True if the goals are about this run."""
        return self.device.startswith("cuda") and not self.tiny

    @property
    def results(self) -> Path:
        """The file of all measurements."""
        return self.out / "gpu-day.h5"

    def checkpoints(self, seed: int = 0) -> list[str]:
        """Return the checkpoints of a pair, SAM's first.

        Raises:
            SystemExit: if it is not there.
        """
        found = [sorted((self.out / "pair").glob(f"*-{recipe}-s{seed}.pt")) for recipe in ("sam", "adam")]
        if not all(found):
            raise SystemExit("there is no pair yet: the step `pair` makes it")
        return [str(paths[0]) for paths in found]

    def own(self, command: str, *words: str) -> list[str]:
        """Return a command of landscape's on this data and device."""
        return [command, *words, "--data", self.data, "--device", self.device]

    def measure(self, command: str, size: int | str, full: Sequence[str], tiny: Sequence[str]) -> list[Action]:
        """Return a command that measures the pair on so many training images."""
        words = [*tiny, "--subset", "all"] if self.tiny else [*full, "--subset", str(size)]
        where = ["--splits", "train", "--out", str(self.results)]
        return [("landscape", self.own(command, *self.checkpoints(), *words, *where))]

    def train(self, full: Sequence[str], tiny: Sequence[str]) -> list[Action]:
        """Return the command that trains pairs."""
        words = [*tiny, "--epochs", "1", "--batch-size", "16"] if self.tiny else [*full, "--epochs", "100"]
        out = ["--model", "resnet20", "--out", str(self.out / "pair")]
        return [("landscape", self.own("train", "pair", *words, *out))]

    def peers(self, name: str, full: Sequence[str], tiny: Sequence[str]) -> list[Action]:
        """Return the call of a comparison with other tools, in a Python process as its users would have it."""
        words = [*(tiny if self.tiny else full), "--device", self.device, "--json", str(self.out / f"{name}.json")]
        return [("script", [str(ROOT / "tests" / "benchmarks" / f"{name}.py"), *words])]


@dataclass(frozen=True)
class Step:
    """A part of the day."""

    name: str
    limit: float  # seconds
    actions: Callable[[Day], list[Action]]
    resumes: bool = False  # whether another attempt goes on where this one stopped
    finish: Callable[[Day], None] = field(default=lambda day: None)


def gpu_tests(day: Day) -> list[Action]:
    """Return the run of all tests marked gpu; warnings of another torch are not what they are about."""
    files = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if "pytest.mark.gpu" in p.read_text("utf-8")]
    words = ["-n", "0", "-m", "gpu", "-v", "--tb=short", "-o", "filterwarnings=", "-p", "no:cacheprovider"]
    return [("pytest", [*words, "--rootdir", str(ROOT), f"--junitxml={day.out / 'tests.xml'}", *files])]


def thin_snapshots(day: Day) -> None:
    """Keep the weights and second moments of every tenth epoch and of the last."""
    folders = [*(day.out / "pair").glob("*-snapshots"), *(day.out / "pair").glob("*-snapshots/second-moments")]
    for folder in folders:
        paths = sorted(folder.glob("epoch-*.safetensors"))
        for path in paths[:-1]:
            if int(path.stem.removeprefix("epoch-")) % SNAPSHOT_EVERY:
                path.unlink()


def measured(name: str) -> Callable[[Day], list[Action]]:
    """Return a step's own measurement, a function of `gpu_day_measures`."""
    return lambda day: [("measure", [name, day.device, day.data, str(day.out), "tiny" if day.tiny else "full"])]


def pair(day: Day) -> list[Action]:
    return day.train(words := ["--seed", "0", "--snapshots"], words)


def seeds(day: Day) -> list[Action]:
    return day.train(["--seeds", "1,2,3,4"], ["--seeds", "1"])


def surface(day: Day) -> list[Action]:
    return day.measure("surface", "all", ["--points", "51"], ["--points", "3"])


def eigenvalues(day: Day) -> list[Action]:
    few = ["--top", "1", "--params", "linear.*", "--max-products", "4"]
    return day.measure("hessian", "all", ["--top", "5", "--trace"], few)


def sharpness(day: Day) -> list[Action]:
    return day.measure("sharpness", "all", [], ["--measures", "sam,asam"])


def convexity(day: Day) -> list[Action]:
    few = ["--points", "3", "--params", "linear.*", "--tolerance", "0.5"]
    return day.measure("convexity", 2000, ["--points", "21", "--quick"], [*few, "--quick"])


def training_peers(day: Day) -> list[Action]:
    few = ["--rounds", "1", "--steps", "1", "--warmup", "1", "--batch-size", "4"]
    return day.peers("training_speed", ["--rounds", "2", "--steps", "200"], few)


def surface_peers(day: Day) -> list[Action]:
    checkpoint = ["--checkpoint", day.checkpoints()[0]]
    full = [*checkpoint, "--data", day.data, "--examples", "10000", "--rounds", "3"]
    few = [*checkpoint, "--examples", "8", "--rounds", "1", "--only", "landscape", "--side", "8"]
    return day.peers("surface_peers", full, few)


def curvature_peers(day: Day) -> list[Action]:
    own = ["--checkpoint", day.checkpoints()[0], "--data", day.data, "--rounds", "1"]
    full = [*own, "--examples", "10000", "--batch-size", "2500", "--reference", str(day.out / "reference.json")]
    few = [*own, "--examples", "16", "--top", "1", "--no-reference", "--tools", "landscape"]
    return day.peers("curvature_peers", full, few)


STEPS = [
    Step("tests", 150, gpu_tests),
    Step("floors", 45, measured("floors")),
    Step("pair", 300, pair, resumes=True, finish=thin_snapshots),
    Step("surface", 150, surface, resumes=True),
    Step("eigenvalues", 150, eigenvalues, resumes=True),
    Step("sharpness", 120, sharpness, resumes=True),
    Step("profile", 90, measured("profile")),
    Step("convexity", 120, convexity, resumes=True),
    Step("training peers", 150, training_peers),
    Step("surface peers", 90, surface_peers),
    Step("curvature peers", 120, curvature_peers),
    Step("seeds", 600, seeds, resumes=True),
]


# ---- what a step's process does


def run_landscape(words: Sequence[str]) -> None:
    from landscape.cli.main import main

    print("$ landscape", *words, flush=True)
    main(list(words))


def run_pytest(words: Sequence[str]) -> None:
    import pytest

    if status := pytest.main(list(words)):
        raise SystemExit(int(status))


def run_script(words: Sequence[str]) -> None:
    subprocess.run([sys.executable, *words], check=True)


def run_measure(words: Sequence[str]) -> None:
    import gpu_day_measures as measures

    name, device, data, out, size = words
    measures.MEASURES[name](device, data, Path(out), tiny=size == "tiny")


RUNNERS = {"landscape": run_landscape, "pytest": run_pytest, "script": run_script, "measure": run_measure}


def work(actions: list[Action], log: str) -> None:
    """Run a step's actions in this process, the leader of a group of its own, with all that is printed in a file."""
    os.setsid()
    with open(log, "ab") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        for kind, words in actions:
            RUNNERS[kind](words)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


# ---- the day


def run_step(step: Step, day: Day, seconds: float, context: Any) -> dict[str, Any]:
    """Run a step for at most so many seconds, and return how it ended."""
    log = day.out / "logs" / f"{step.name.replace(' ', '-')}.txt"
    started = time.monotonic()
    try:
        actions = step.actions(day)
    except SystemExit as missing:
        return {"step": step.name, "status": f"skipped: {missing}", "seconds": 0.0}
    process = context.Process(target=work, args=(actions, str(log)))
    process.start()
    try:
        process.join(seconds)
        code = process.exitcode
    finally:  # also at Ctrl-C
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    status = STOPPED if code is None else DONE if code == 0 else f"failed with exit status {code}: {last_line(log)}"
    step.finish(day)
    return {"step": step.name, "status": status, "seconds": round(time.monotonic() - started, 2)}


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1][:200] if lines else "nothing was printed"


def attempts(steps: Sequence[Step], statuses: Mapping[str, str]) -> Iterator[Step]:
    """Yield the steps that are not done, and then those that were stopped and can resume."""
    yield from (step for step in steps if statuses.get(step.name) != DONE)
    yield from (step for step in steps if step.resumes and statuses.get(step.name) == STOPPED)


def run_day(day: Day, steps: Sequence[Step], budget: float, pack: Callable[[], None]) -> None:
    """Run the steps that are not done yet, as far as the budget goes."""
    end = time.monotonic() + budget - RESERVE
    (day.out / "logs").mkdir(parents=True, exist_ok=True)
    statuses = {name: record["status"] for name, record in report.read_records(day.out).items()}
    context = multiprocessing.get_context("forkserver")  # CUDA does not survive a fork from a process that uses it
    context.set_forkserver_preload(["torch", "landscape.training", "landscape.cli.main"])  # imported once
    for step in attempts(steps, statuses):
        left = end - time.monotonic()
        if left < LEAST:
            break
        record = run_step(step, day, min(step.limit, left), context)
        statuses[step.name] = record["status"]
        record["numbers"] = report.numbers(step.name, day.out)
        with (day.out / "results.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{step.name}: {record['status']}, {record['seconds']:.1f} s", flush=True)
        report.write_summary(day.out, [step.name for step in steps], judged=day.judged)
        pack()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=720.0, help="seconds for all steps together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data", help="folder or archive of CIFAR-10's images, or as landscape's --data")
    parser.add_argument("--out", type=Path, default=Path("gpu-day"))
    parser.add_argument("--steps", help="comma-separated names; all by default")
    parser.add_argument("--tiny", action="store_true", help="a few small images, to test this script")
    parser.add_argument("--pack", type=Path, help="folder for a few files that hold everything")
    parser.add_argument("--volume", type=float, default=15.0, help="MiB of each archive in it, at most")
    parser.add_argument("--cargo", action="store_true", help="list packages and files to carry, and end")
    parser.add_argument("--present", type=Path, help="with --cargo: file of packages that are there, a name a line")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.cargo:
        print("\n".join(cargo.listing(options.present, options.data)))
        return
    names = options.steps.split(",") if options.steps else [step.name for step in STEPS]
    unknown = set(names) - {step.name for step in STEPS}
    if unknown:
        raise SystemExit(f"unknown steps {', '.join(sorted(unknown))}; expected some of {[s.name for s in STEPS]}")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(out / "compiled"))  # what one step compiled, others reuse
    os.environ.setdefault("LANDSCAPE_CACHE", str(out / "cache"))
    if options.data is None and not options.tiny:
        raise SystemExit("expected --data: a folder or archive of CIFAR-10's images, or cifar10 to download them")
    data = cargo.tiny_images(out) if options.data is None else cargo.as_data(options.data, out)

    def pack() -> None:
        if options.pack is not None:
            cargo.pack(out, options.pack, int(options.volume * 2**20))

    steps, day = [step for step in STEPS if step.name in names], Day(options.device, options.tiny, out, data)
    run_day(day, steps, options.budget, pack)
    print()
    print(report.write_summary(out, names, judged=day.judged))
    pack()


if __name__ == "__main__":
    main()
