"""A measurement that workers share, to be killed in the middle: `python driver.py FILE ENGINE ADDRESS`."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch

import landscape
import landscape.execution
from landscape.analysis.surfaces.evaluation import EvaluationSettings
from landscape.results import SurfaceResult
from landscape.workflow.reporter import Quiet

STORED = b"a point is stored\n"
POINTS = 441


class Loud(Quiet):
    """Prints a line for each stored point."""

    @contextlib.contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Any]:
        yield lambda *_, **__: print(STORED.decode(), end="", flush=True)


def measure(file: str, engine: Any = "inline", address: str | None = None, **options: Any) -> SurfaceResult:
    """Return a plane of 441 points, as far as the file lacks it by two workers or inline."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(20, 300), torch.nn.Tanh(), torch.nn.Linear(300, 3))
        x, y = torch.randn(6000, 20), torch.arange(6000) % 3
    objective = landscape.Objective(model, "cross_entropy", x, y, device="cpu")
    settings = EvaluationSettings("float32", None, 250, threads=1)
    with landscape.execution.open(1 if engine == "inline" else 2, engine, address=address) as workers:
        evaluation = landscape.Evaluation(settings=settings, workers=workers)
        with landscape.AnalysisFile(file) as analysis:
            surface = landscape.Surface(points=21, evaluation=evaluation)
            return analysis.measure(surface, objective, name="mine/plane", **options)


if __name__ == "__main__":
    measure(*sys.argv[1:], reporter=Loud())
