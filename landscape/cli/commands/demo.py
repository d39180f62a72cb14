"""`landscape demo`: the whole job on embedded data."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from landscape.cli.terminal import console
from landscape.stats import number_format
from landscape.storage.user_path import user_path

if TYPE_CHECKING:
    from landscape.models.checkpoint import Checkpoint
    from landscape.results import SharpnessResult


@dataclass(frozen=True)
class DemoCommand:
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
    epochs: Annotated[int, arg(metavar="N")] = 12
    """Epochs of SAM; Adam trains for twice as many. Both then learn the digits."""
    batch_size: Annotated[int, arg(metavar="N")] = 64
    """Examples of a training step."""
    subset: Annotated[int, arg(metavar="N")] = 400
    """Examples of each split that are measured, of 1,437 training and 360 test images."""
    points: Annotated[int, arg(metavar="N")] = 21
    """Points along each axis of the surfaces, odd; lines around the checkpoints take about twice as many."""
    no_open: bool = False
    """Do not open the report in the browser."""

    def run(self) -> None:
        """Run every step, print the comparison, open the page."""
        from landscape.analysis.surfaces.grids.axes import Axes
        from landscape.cli.commands import report
        from landscape.data import load_dataset
        from landscape.execution.allocator import tune_allocator
        from landscape.figures.report.page import write_report
        from landscape.storage.result_file import ResultFile
        from landscape.training import TrainConfig
        from landscape.workflow.measurements.eigenvalues import Eigenvalues
        from landscape.workflow.measurements.sharpness import Sharpness
        from landscape.workflow.measurements.surface import Surface
        from landscape.workflow.planes import LineBetween, RandomPlane, Weights
        from landscape.workflow.runner import Runner
        from landscape.workflow.sources.history import stage_history
        from landscape.workflow.sources.loading import load_models
        from landscape.workflow.sources.specs import Sample
        from landscape.workflow.training import TrainingOptions, prepare_paths, train_or_resume

        started = time.perf_counter()
        tune_allocator()
        folder = user_path(self.out)
        config = TrainConfig(
            recipe="pair",
            epochs=self.epochs,
            batch_size=self.batch_size,
            precision="float32",  # not timed, so that the demo gives the same weights every time
            seed=self.seed,
            device=self.device,
        )
        paths = {recipe: folder / f"resnet20-digits-{recipe}.pt" for recipe in ("sam", "adam")}
        console.say(
            f"1/3 training ResNet-20 with SAM ({self.epochs} epochs) and Adam ({2 * self.epochs}) on handwritten digits"
        )
        prepare_paths(paths.values())
        options = TrainingOptions(command=console.recorded_command())
        trained = train_or_resume(config, load_dataset("digits"), paths, options=options, reporter=console)

        console.say("2/3 measuring both: surfaces, lines, eigenvalues, sharpness")
        names = [str(path) for path in paths.values()]
        models = load_models(
            list(paths.values()),
            sample=Sample(("train", "test"), self.subset, self.seed, device=self.device),
            reporter=console,
        )
        on_train = [dataclasses.replace(m, sample=dataclasses.replace(m.sample, splits=("train",))) for m in models]
        with ResultFile(folder / "analysis.h5") as file:
            for model in models:
                stage_history(file, model)
            runner = Runner(file, reporter=console, command=console.recorded_command())
            plane = Surface(points=self.points, seed=self.seed)
            line = Surface(plane=RandomPlane(self.seed, line=True), points=2 * self.points + 9, seed=self.seed)
            other = Weights(models[1].label, models[1].sha256, models[1].state, models[1])
            between = Surface(
                plane=LineBetween(other), axes=Axes((self.points, self.points), margin=0.2), seed=self.seed
            )
            runner.measure_all([(plane, model, None) for model in models])
            runner.measure_all([(line, model, None) for model in models])
            runner.measure(between, models[0])
            measured = {}
            for model in on_train:
                runner.measure(Eigenvalues(top=5, bottom=1, seed=self.seed, batchnorm="fixed"), model)
                _, measured[model.label] = runner.measure(Sharpness(seed=self.seed, batchnorm="fixed"), model)
            results = dict(file.results)

        console.say("3/3 writing the report")
        page = write_report(results, folder / "report.html", sources=[str(folder / "analysis.h5")])
        _print(trained, measured)
        console.say(f"done in {number_format.duration(time.perf_counter() - started)}; all of it is in {folder}:")
        console.say(f"  {', '.join(path.name for path in paths.values())}, analysis.h5 and {page.name}")
        first = shlex.quote(names[0])
        console.say(
            f"next: landscape info {first}, or landscape train pair --data cifar10 (see landscape train --help)"
        )
        if not self.no_open:
            report.open_in_browser(page)


def _print(trained: Mapping[str, Checkpoint], measured: Mapping[str, SharpnessResult]) -> None:
    from landscape.cli.tables.sharpness import print_sharpness
    from landscape.cli.tables.training import print_final

    print_final({f"resnet20-digits-{recipe}": checkpoint for recipe, checkpoint in trained.items()})
    print_sharpness(measured)
