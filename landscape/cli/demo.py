"""`landscape demo`: the whole job on embedded data."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from landscape.cli import console

if TYPE_CHECKING:
    from landscape.checkpoint import Checkpoint
    from landscape.data import Dataset
    from landscape.results import Sharpness
    from landscape.training import TrainConfig

SAM_EPOCHS = 12  # and twice as many for Adam: both learn the digits, in about half a minute on two cores
BATCH_SIZE = 64


@dataclass(frozen=True)
class Demo:
    """Train SAM and Adam as a pair on the embedded digits, measure both, and open the report.

    Takes under three minutes on two CPU cores. Writes two checkpoints, one analysis file and one HTML page.
    """

    out: Annotated[str, arg(metavar="DIR")] = "demo"
    """Folder for everything it writes."""
    seed: int = 0
    """Of the training and of all measurements."""
    device: str = "auto"
    """auto takes CUDA, else MPS, else the CPU."""
    no_open: bool = False
    """Do not open the report in the browser."""

    def run(self) -> None:
        """Run every step, print the comparison, open the page."""
        from landscape.allocator import tune_allocator
        from landscape.cli import hessian, report, sharpness, surface
        from landscape.cli.filing import keep_history
        from landscape.cli.subjects import load_subjects
        from landscape.data import load_dataset
        from landscape.figures.report import write_report
        from landscape.store import AnalysisFile
        from landscape.training import TrainConfig

        started = time.perf_counter()
        tune_allocator()
        folder = Path(self.out)
        config = TrainConfig(
            recipe="pair",
            epochs=SAM_EPOCHS,
            batch_size=BATCH_SIZE,
            precision="float32",  # not timed, so that the demo gives the same weights every time
            seed=self.seed,
            device=self.device,
        )
        paths = {recipe: folder / f"resnet20-digits-{recipe}.pt" for recipe in ("sam", "adam")}
        console.say(
            f"1/3 training ResNet-20 with SAM ({SAM_EPOCHS} epochs) and Adam ({2 * SAM_EPOCHS}) on handwritten digits"
        )
        trained = _trained(config, load_dataset("digits"), paths)

        console.say("2/3 measuring both: surfaces, lines, eigenvalues, sharpness")
        names = tuple(str(path) for path in paths.values())
        common = {"checkpoints": names, "out": str(folder / "analysis.h5"), "seed": self.seed, "device": self.device}
        plane = surface.Surface(**common, splits=("train", "test"), points="31")  # type: ignore[arg-type]
        line = surface.Surface(**common, splits=("train", "test"), line=True)  # type: ignore[arg-type]
        between = surface.Surface(**common, splits=("train", "test"), between=True, points="21", beyond=0.2)  # type: ignore[arg-type]
        eigenvalues = hessian.Hessian(**common, top=5, bottom=1)  # type: ignore[arg-type]
        measures = sharpness.Sharpness(**common)  # type: ignore[arg-type]
        with AnalysisFile(folder / "analysis.h5") as file:
            found = {}
            subjects = load_subjects(measures)
            for subject in subjects:
                keep_history(file, subject)
            for options in (plane, line, between):
                of = [subject.for_options(options) for subject in subjects]
                surface.measure(file, of, options, surface.grid_size(options.points))
            for subject in subjects:
                hessian.compute(file, subject.for_options(eigenvalues), eigenvalues)
                found[subject.label] = sharpness.compute(file, subject, measures)
            results = dict(file.results)

        console.say("3/3 writing the report")
        page = write_report(results, folder / "report.html", sources=[str(folder / "analysis.h5")])
        _print(trained, found)
        console.say(
            f"done in {console.duration(time.perf_counter() - started)}: wrote {', '.join(names)}, {folder / 'analysis.h5'}, {page}"
        )
        console.say(
            f"next: landscape info {shlex.quote(names[0])}, or landscape train pair --data cifar10 (see landscape train --help)"
        )
        if not self.no_open:
            report.open_in_browser(page)


def _trained(config: TrainConfig, dataset: Dataset, paths: Mapping[str, Path]) -> dict[str, Checkpoint]:
    """Return the pair, trained unless an earlier demo has left it there."""
    from landscape.checkpoint import is_checkpoint, load_checkpoint
    from landscape.cli.train import fit

    if all(is_checkpoint(path) for path in paths.values()):
        found = {recipe: load_checkpoint(path) for recipe, path in paths.items()}
        wanted = {"sam": config.epochs, "adam": 2 * config.epochs}
        if all(c.training["epochs"] == wanted[r] and c.training["seed"] == config.seed for r, c in found.items()):
            console.say("    the checkpoints of an earlier demo are there: using them")
            return found
    return fit(config, dataset, paths)


def _print(trained: Mapping[str, Checkpoint], found: Mapping[str, Sharpness]) -> None:
    from landscape.cli.sharpness import print_sharpness
    from landscape.cli.train import print_final

    print_final({f"resnet20-digits-{recipe}": checkpoint for recipe, checkpoint in trained.items()})
    print_sharpness(found)
