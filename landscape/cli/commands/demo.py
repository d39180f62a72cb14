"""`landscape demo`: the whole job on embedded data."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from landscape.cli.options.analysis import expand, grid_size
from landscape.cli.terminal import console
from landscape.stats import number_format

if TYPE_CHECKING:
    from landscape.models.checkpoint import Checkpoint
    from landscape.results import SharpnessResult

SAM_EPOCHS = 12  # and twice as many for Adam: both learn the digits, in about half a minute on two cores
BATCH_SIZE = 64
SUBSET = "400"  # of the 1,437 training images; the 360 test images are all used


@dataclass(frozen=True)
class Demo:
    """Train SAM and Adam as a pair on the embedded digits, measure both, and open the report.

    Takes under three minutes on two CPU cores with AVX-512, four on two older ones. Writes two checkpoints, one
    analysis file and one HTML page.
    """

    out: Annotated[str, arg(metavar="DIR")] = "demo"
    """Folder for everything it writes."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the training and of all measurements."""
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, mps, ...; auto takes CUDA, else MPS, else the CPU."""
    no_open: bool = False
    """Do not open the report in the browser."""

    def run(self) -> None:
        """Run every step, print the comparison, open the page."""
        from landscape.cli.commands import hessian, report, sharpness, surface
        from landscape.cli.jobs.loaded_model import load_subjects
        from landscape.cli.jobs.result_names import keep_history
        from landscape.cli.jobs.training import check_places, fit
        from landscape.data import load_dataset
        from landscape.execution.allocator import tune_allocator
        from landscape.figures.report.page import write_report
        from landscape.storage.analysis_file import AnalysisFile
        from landscape.training import TrainConfig

        started = time.perf_counter()
        tune_allocator()
        folder = expand(self.out)
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
        check_places(paths.values())
        trained = fit(config, load_dataset("digits"), paths)

        console.say("2/3 measuring both: surfaces, lines, eigenvalues, sharpness")
        names = tuple(str(path) for path in paths.values())
        common: dict[str, Any] = {
            "checkpoints": names,
            "subset": SUBSET,
            "out": str(folder / "analysis.h5"),
            "seed": self.seed,
            "device": self.device,
        }
        plane = surface.Surface(**common, splits=("train", "test"), points="21")
        line = surface.Surface(**common, splits=("train", "test"), line=True)
        between = surface.Surface(**common, splits=("train", "test"), between=True, points="21", beyond=0.2)
        eigenvalues = hessian.Hessian(**common, top=5, bottom=1)
        measures = sharpness.Sharpness(**common)
        with AnalysisFile(folder / "analysis.h5") as file:
            found = {}
            subjects = load_subjects(measures)
            for subject in subjects:
                keep_history(file, subject)
            for options in (plane, line, between):
                of = [subject.for_options(options) for subject in subjects]
                surface.measure(file, of, options, grid_size(options.points))
            for subject in subjects:
                hessian.compute(file, subject.for_options(eigenvalues), eigenvalues)
                found[subject.label] = sharpness.compute(file, subject, measures)
            results = dict(file.results)

        console.say("3/3 writing the report")
        page = write_report(results, folder / "report.html", sources=[str(folder / "analysis.h5")])
        _print(trained, found)
        console.say(f"done in {number_format.duration(time.perf_counter() - started)}; all of it is in {folder}:")
        console.say(f"  {', '.join(path.name for path in paths.values())}, analysis.h5 and {page.name}")
        first = shlex.quote(names[0])
        console.say(
            f"next: landscape info {first}, or landscape train pair --data cifar10 (see landscape train --help)"
        )
        if not self.no_open:
            report.open_in_browser(page)


def _print(trained: Mapping[str, Checkpoint], found: Mapping[str, SharpnessResult]) -> None:
    from landscape.cli.commands.sharpness import print_sharpness
    from landscape.cli.tables.training import print_final

    print_final({f"resnet20-digits-{recipe}": checkpoint for recipe, checkpoint in trained.items()})
    print_sharpness(found)
