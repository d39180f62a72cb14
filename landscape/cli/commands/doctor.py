"""`landscape doctor`: is the machine set up, and do a checkpoint's numbers mean what they seem to?"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from landscape.cli.options.analysis import DataOptions, ModelOptions, Paths, subset_size
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.storage.user_path import user_path

if TYPE_CHECKING:
    from landscape.workflow.doctor.finding import Finding

BROKEN = 1  # exit status if a check found something broken


@dataclass(frozen=True)
class DoctorCommand(ModelOptions, DataOptions):
    """Check the machine, or checkpoints with their data; each finding says what to do.

    Of a machine: packages, processor, devices, threads, cache, and whether images can be exported. Of a checkpoint:
    data, recorded loss, accuracy, normalization, order of the classes, BatchNorm's statistics, and whether it is a
    minimum. Of an analysis file that landscape.Monitor wrote: what its measures found wrong with the run, such as a
    radius of SAM that is too large. The exit status is 0 with warnings, 1 if something is broken, and 2 if a file
    cannot be read.
    """

    subset: Annotated[str, arg(metavar="N|all")] = "500"
    """Training examples to check with: a stratified sample of this size, or all."""
    loss: Annotated[str, arg(metavar="LOSS")] = "cross_entropy"
    """cross_entropy, mse, or package.module:function of (outputs, targets)."""
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, mps, ...; auto takes CUDA, else MPS, else the CPU."""
    json: bool = False
    """Print the findings as JSON on stdout."""
    checkpoints: Paths = ()
    """Checkpoints, with --model also weight files, or analysis files of monitored runs; without any, the machine."""

    def run(self) -> int:
        """Make the checks, print the findings, and return the exit status."""
        from landscape.cli.tables.doctor import print_findings, summary
        from landscape.execution.allocator import tune_allocator
        from landscape.workflow.doctor.finding import worst

        tune_allocator()
        findings = self._checkpoints() if self.checkpoints else self._machine()
        if self.json:
            console.print_json(summary(findings))
        else:
            print_findings(findings)
        return BROKEN if worst(one for group in findings.values() for one in group) == "broken" else 0

    def _machine(self) -> dict[str, list[Finding]]:
        from landscape.workflow.doctor.machine import examine_machine

        if self.data is not None or self.model is not None:
            raise LandscapeError("--data and --model go with a checkpoint or a weight file, which is not given")
        return {"machine": [*examine_machine(), _image_export()]}

    def _checkpoints(self) -> dict[str, list[Finding]]:
        from landscape.cli.requests.source import data_spec, model_spec
        from landscape.workflow.doctor.checkpoint import examine_checkpoint
        from landscape.workflow.doctor.monitored_run import examine_runs
        from landscape.workflow.reporter import ProgressOnly
        from landscape.workflow.sources.loading import load_models
        from landscape.workflow.sources.specs import Sample

        paths = [user_path(path) for path in self.checkpoints]
        runs = {path.name: examine_runs(path) for path in paths if path.suffix == ".h5"}
        models = load_models(
            [path for path in paths if path.suffix != ".h5"],
            model=model_spec(self),
            data=data_spec(self),
            sample=Sample(size=subset_size(self.subset), loss=self.loss, device=self.device),
            reporter=ProgressOnly(console),
        )
        return {**{model.label: examine_checkpoint(model) for model in models}, **runs}


def _image_export() -> Finding:
    """Draw a small image, as `landscape export` does."""
    import plotly.graph_objects as go

    from landscape.export.images.render import ImageFile, write_images
    from landscape.workflow.doctor.finding import Finding

    with tempfile.TemporaryDirectory() as folder:
        try:
            write_images([ImageFile(go.Figure(), Path(folder) / "probe.png", 40, 30)])
        except LandscapeError as error:
            message, _, remedy = str(error).partition("; ")
            return Finding("image export", "warning", message, remedy)
    return Finding("image export", "ok", "kaleido and a browser draw png, svg and pdf")
