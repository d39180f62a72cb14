"""Analysis files of Python programs: measurements by name, which survive a kill and resume."""

from __future__ import annotations

from landscape.analysis.objective.objective import Objective
from landscape.errors import LandscapeError
from landscape.storage.result_file import ResultFile
from landscape.workflow.measurement import Measurement, R
from landscape.workflow.reporter import Reporter
from landscape.workflow.runner import Runner
from landscape.workflow.sources.objective_source import ObjectiveSource


class AnalysisFile(ResultFile):
    """An HDF5 file of named results, open for writing; a context manager.

    >>> import tempfile, torch, landscape
    >>> model = torch.nn.Linear(2, 2)
    >>> objective = landscape.Objective(model, "cross_entropy", torch.eye(2), torch.tensor([0, 1]))
    >>> folder = tempfile.TemporaryDirectory()
    >>> with landscape.AnalysisFile(f"{folder.name}/mine.h5") as file:
    ...     plane = file.measure(landscape.Surface(points=3), objective, name="mine/plane")
    >>> plane.grid("loss").shape
    (1, 3, 3)
    >>> folder.cleanup()
    """

    def measure(
        self,
        measurement: Measurement[R],
        objective: Objective,
        *,
        name: str,
        overwrite: bool = False,
        reporter: Reporter | None = None,
    ) -> R:
        """Return a measurement's result, computed as far as the file lacks it.

        Finished parts are stored as they come: after a kill, the same call resumes.

        Args:
            measurement: such as `landscape.Surface(points=51)`.
            objective: what is measured.
            name: of the result, `<weights>/<result>`, for example "mine/plane".
            overwrite: replace a finished result.
            reporter: receives messages and progress; none by default.

        Raises:
            LandscapeError: for another form of name, or a stored result of that name with other settings.
        """
        label, _, short = name.partition("/")
        if not label or not short:
            raise LandscapeError(f"expected a name such as mine/plane, got {name!r}")
        runner = Runner(self, reporter=reporter, overwrite=overwrite)
        return runner.measure(measurement, ObjectiveSource(objective, label), name=short)[1]
