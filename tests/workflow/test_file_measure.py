"""Measurements of Python programs: equal to the plain functions, resumed after a kill, refused if anything differs."""

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases.curvature_problem import INPUTS, LABELS, classifier, network
from torch import Tensor

import landscape
from landscape.results import LayersResult, LineResult, Result, Sampled, SharpnessResult, SurfaceResult
from landscape.workflow.measurement import Keep, Source
from landscape.workflow.reporter import Advance, Quiet
from landscape.workflow.vectors import vector_file

FLOAT32 = landscape.Evaluation(precision="float32")
MEASURES = (landscape.SamSharpness(rho=0.1), landscape.AverageSharpness(rho=0.1, pairs=2))

# Measurements, and the plain functions that must return the same.
CASES: dict[str, tuple[landscape.Measurement[Any], Callable[[landscape.Objective], Result]]] = {
    "surface": (
        landscape.Surface(points=5, evaluation=FLOAT32),
        lambda objective: landscape.surface(objective, points=5, evaluation=FLOAT32),
    ),
    "surface-within-a-tolerance": (
        landscape.Surface(points=5, tolerance=0.1, evaluation=FLOAT32),
        lambda objective: landscape.surface(objective, points=5, tolerance=0.1, evaluation=FLOAT32),
    ),
    "gradient-norm": (
        landscape.Surface(points=(3, 5), span=0.5, seed=3, gradient_norm=True, evaluation=FLOAT32),
        lambda objective: landscape.surface(
            objective,
            axes=landscape.Axes((3, 5), span=0.5),
            seed=3,
            gradient_norm=True,
            evaluation=FLOAT32,
        ),
    ),
    "line": (
        landscape.Surface(landscape.RandomPlane(line=True), points=7, evaluation=FLOAT32),
        lambda objective: landscape.surface(
            objective,
            landscape.random_plane(objective, dimensions=1),
            points=7,
            evaluation=FLOAT32,
        ),
    ),
    "eigenvalues": (
        landscape.Eigenvalues(top=2, bottom=1),
        lambda objective: landscape.hessian(objective, top=2, bottom=1),
    ),
    "gauss-newton": (
        landscape.Eigenvalues(operator="ggn", top=2),
        lambda objective: landscape.hessian(objective, operator="ggn", top=2),
    ),
    "density": (
        landscape.Density(vectors=2, steps=8),
        lambda objective: landscape.density(objective, vectors=2, steps=8),
    ),
    "layers": (
        landscape.Layers(max_products=30, trace_products=6),
        lambda objective: landscape.layers(objective, max_products=30, trace_products=6),
    ),
    "sharpness": (
        landscape.Sharpness(MEASURES, seed=1),
        lambda objective: landscape.sharpness(objective, MEASURES, seed=1),
    ),
    "convexity": (
        landscape.Convexity(axes=landscape.Axes(points=(3, 3), span=0.5)),
        lambda objective: landscape.convexity(objective, axes=landscape.Axes(3, span=0.5)),
    ),
}


def objective_of(**options: Any) -> landscape.Objective:
    """Return the loss of a tiny convolutional network on nine images."""
    return classifier(**{"precision": "float32", **options})


def values(result: Result) -> dict[str, Any]:
    """Return the numbers of a result, without attributes such as its seconds."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    fields.pop("attributes")
    if isinstance(result, Sampled):
        fields["points"] = np.sort(result.points, order=["split", "metric", "level", "beta", "alpha"])
    if isinstance(result, SharpnessResult):
        fields["measures"] = [(each.label, each.value, each.stderr, each.evaluations) for each in result.measures]
    return fields


def assert_same(left: Result, right: Result) -> None:
    """Check that two results are the same to the bit."""
    assert type(left) is type(right)
    old, new = values(left), values(right)
    for name, value in old.items():
        if name == "points":
            for column in value.dtype.names:
                np.testing.assert_array_equal(value[column], new[name][column], err_msg=column, strict=True)
            continue
        np.testing.assert_array_equal(value, new[name], err_msg=name, strict=isinstance(value, np.ndarray))


class StoppedError(Exception):
    """Raised in the middle of a measurement."""


class Recording(Quiet):
    """Records messages and counts steps; raises `StoppedError` after `stop_after` of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.messages: list[str] = []
        self.steps = 0
        self._stop_after = stop_after

    def say(self, message: str) -> None:
        self.messages.append(message)

    @contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Advance]:
        def advance(steps: int = 1, note: str = "", *, total: int | None = None) -> None:
            self.steps += steps
            if self._stop_after is not None and self.steps >= self._stop_after:
                raise StoppedError

        yield advance


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.h5"


@pytest.mark.parametrize("case", CASES)
def test_a_measurement_equals_the_plain_function_and_a_second_call_reads_the_file(case: str, path: Path) -> None:
    measurement, function = CASES[case]
    with landscape.AnalysisFile(path) as file:
        measured = file.measure(measurement, objective_of(), name="mine/result")
    expected = function(objective_of())
    assert_same(measured, expected)
    stored = landscape.load(path)["mine/result"]
    assert stored.finished
    assert_same(stored, expected)
    reporter = Recording()
    with landscape.AnalysisFile(path) as file:
        assert_same(file.measure(measurement, objective_of(), name="mine/result", reporter=reporter), expected)
    assert reporter.steps == 0
    assert [message for message in reporter.messages if "is already in" in message]


@pytest.mark.parametrize(
    ("case", "steps"),
    [
        ("surface", 7),
        ("surface-within-a-tolerance", 7),
        ("gradient-norm", 4),
        ("line", 3),
        ("convexity", 4),
        ("sharpness", 2),
        ("eigenvalues", 5),
        ("density", 9),
        ("layers", 12),
    ],
)
def test_a_stopped_measurement_resumes_to_the_undisturbed_result(case: str, steps: int, path: Path) -> None:
    measurement, function = CASES[case]
    with landscape.AnalysisFile(path) as file, pytest.raises(StoppedError):
        file.measure(measurement, objective_of(), name="mine/result", reporter=Recording(stop_after=steps))
    partial = landscape.load(path).get("mine/result") if path.exists() else None
    if case in ("surface", "gradient-norm", "line", "convexity"):
        assert partial is not None
        assert not partial.finished
        assert int(partial.computed().sum()) == steps
    reporter = Recording()
    with landscape.AnalysisFile(path) as file:
        resumed = file.measure(measurement, objective_of(), name="mine/result", reporter=reporter)
    assert_same(resumed, function(objective_of()))
    if case in ("surface", "gradient-norm", "line", "convexity"):
        assert reporter.steps == int(resumed.computed().sum()) - steps
        assert [message for message in reporter.messages if "resuming with" in message]


def test_an_error_of_the_loss_itself_leaves_the_finished_points(path: Path) -> None:
    calls, limit = 0, float("inf")

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > limit:
            raise StoppedError
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="none")

    def objective() -> landscape.Objective:
        return landscape.Objective(network().float(), loss, INPUTS.float(), LABELS, device="cpu")

    measurement = landscape.Surface(points=5, evaluation=FLOAT32)
    with landscape.AnalysisFile(path) as file:
        expected = file.measure(measurement, objective(), name="undisturbed/plane")
    limit = calls + calls - 10
    with landscape.AnalysisFile(path) as file, pytest.raises(StoppedError):
        file.measure(measurement, objective(), name="mine/plane")
    partial = landscape.load(path)["mine/plane"]
    assert isinstance(partial, SurfaceResult)
    assert 0 < partial.computed().sum() < 25
    limit = float("inf")
    with landscape.AnalysisFile(path) as file:
        assert_same(file.measure(measurement, objective(), name="mine/plane"), expected)


KILLED = """
import os, signal, sys
sys.path[:0] = {tests!r}
import torch, landscape
from cases.curvature_problem import classifier

steps = 0

def advance(count=1, note="", *, total=None):
    global steps
    steps += count
    if steps == {steps}:
        os.kill(os.getpid(), signal.SIGKILL)

class Reporter:
    def say(self, message): pass
    def warn(self, message): pass
    def progress(self, label, total):
        import contextlib
        return contextlib.nullcontext(advance)

torch.set_num_threads({threads})
with landscape.AnalysisFile({path!r}) as file:
    file.measure({measurement}, classifier(precision="float32"), name="mine/result", reporter=Reporter())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize(
    ("case", "code", "steps"),
    [
        ("surface", "landscape.Surface(points=5, evaluation=landscape.Evaluation(precision='float32'))", 11),
        ("convexity", "landscape.Convexity(axes=landscape.Axes(points=(3, 3), span=0.5))", 5),
    ],
)
def test_a_killed_process_loses_no_finished_point(case: str, code: str, steps: int, path: Path) -> None:
    tests = [str(Path(__file__).parents[1]), str(Path(landscape.__file__).parents[1])]
    script = KILLED.format(tests=tests, steps=steps, threads=torch.get_num_threads(), path=str(path), measurement=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    partial = landscape.load(path)["mine/result"]
    assert isinstance(partial, Sampled)
    assert int(partial.computed().sum()) == steps
    measurement, function = CASES[case]
    reporter = Recording()
    with landscape.AnalysisFile(path) as file:
        resumed = file.measure(measurement, objective_of(), name="mine/result", reporter=reporter)
    assert reporter.steps == int(resumed.computed().sum()) - steps
    assert_same(resumed, function(objective_of()))


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (landscape.Surface(points=3), landscape.Surface(points=5), r"x axis \(points, from, to\) is \[3, -1.0, 1.0\]"),
        (landscape.Surface(points=3), landscape.Surface(points=3, span=0.5), r"\[3, -0.5, 0.5\] here"),
        (landscape.Surface(points=3), landscape.Surface(points=3, tolerance=0.1), "tolerance is None there and 0.1"),
        (landscape.Surface(points=3), landscape.Surface(points=3, gradient_norm=True), "gradient_norm is None there"),
        (landscape.Surface(points=3), landscape.Surface(points=3, seed=1), "seed is 0 there and 1 here"),
        (
            landscape.Surface(points=3),
            landscape.Surface(landscape.RandomPlane(normalization="layer"), points=3),
            "normalization is filter there and layer here",
        ),
        (
            landscape.Surface(landscape.RandomPlane(seed=3), points=3),
            landscape.Surface(landscape.RandomPlane(seed=4), points=3),
            "direction_seed is 3 there and 4 here",
        ),
        (landscape.Eigenvalues(top=1), landscape.Eigenvalues(top=2), "top is 1 there and 2 here"),
        (landscape.Eigenvalues(top=1), landscape.Eigenvalues(top=1, seed=1), "seed is 0 there and 1 here"),
        (landscape.Eigenvalues(top=1), landscape.Eigenvalues(top=1, operator="ggn"), "operator is hessian there"),
        (landscape.Density(vectors=1, steps=4), landscape.Density(vectors=1, steps=5), "steps is 4 there and 5 here"),
        (
            landscape.Density(vectors=1, steps=4),
            landscape.Density(vectors=1, steps=4, seed=1),
            "seed is 0 there and 1 here",
        ),
        (
            landscape.Layers(max_products=30),
            landscape.Layers(max_products=30, trace_products=7),
            "trace_products is 18 there and 7 here",
        ),
        (
            landscape.Convexity(axes=landscape.Axes((3, 3))),
            landscape.Convexity(axes=landscape.Axes((3, 3)), quick=True),
            "quick is False there and True here",
        ),
        (
            landscape.Convexity(axes=landscape.Axes((3, 3))),
            landscape.Convexity(axes=landscape.Axes((3, 3)), seed=1),
            "seed is 0 there and 1 here",
        ),
        (landscape.Sharpness(MEASURES), landscape.Sharpness(MEASURES, seed=1), "measures is"),
        (landscape.Surface(points=3), landscape.Eigenvalues(top=1), "of the kind 'surface', not 'spectrum'"),
    ],
)
def test_other_settings_under_the_same_name_are_refused(
    first: landscape.Measurement[Any], second: landscape.Measurement[Any], difference: str, path: Path
) -> None:
    with landscape.AnalysisFile(path) as file:
        file.measure(_float32(first), objective_of(), name="mine/result")
        before = dict(file.results)
        with pytest.raises(landscape.LandscapeError, match=difference) as refused:
            file.measure(_float32(second), objective_of(), name="mine/result")
        assert "\n" not in str(refused.value)
        assert file.results.keys() == before.keys()
        replaced = file.measure(_float32(second), objective_of(), name="mine/result", overwrite=True)
    assert_same(landscape.load(path)["mine/result"], replaced)


def _float32(measurement: landscape.Measurement[Any]) -> landscape.Measurement[Any]:
    if isinstance(measurement, landscape.Surface):
        return dataclasses.replace(measurement, evaluation=FLOAT32)
    return measurement


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"params": "0.*"}, "SHA-256 is .* there and .* here"),
        ({"batchnorm": "recalibrated"}, "batchnorm is fixed there and recalibrated here"),
        ({"precision": "float64"}, "objective_precision is float32 there and float64 here"),
    ],
)
def test_another_objective_under_the_same_name_is_refused(changes: dict[str, Any], difference: str, path: Path) -> None:
    measurement = landscape.Density(vectors=1, steps=4)
    mode = changes.get("batchnorm", "fixed")
    with landscape.AnalysisFile(path) as file:
        file.measure(measurement, objective_of(), name="mine/density")
        with pytest.raises(landscape.LandscapeError, match=difference):
            file.measure(dataclasses.replace(measurement, batchnorm=mode), objective_of(**changes), name="mine/density")


def test_other_weights_and_other_data_are_refused(path: Path) -> None:
    model = network().float()
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    measurement = landscape.Density(vectors=1, steps=4)
    with landscape.AnalysisFile(path) as file:
        file.measure(measurement, objective_of(), name="mine/density")
        other = landscape.Objective(model, "cross_entropy", INPUTS.float(), LABELS, device="cpu")
        with pytest.raises(landscape.LandscapeError, match="the checkpoint's SHA-256 is"):
            file.measure(measurement, other, name="mine/density")
        other = landscape.Objective(network().float(), "cross_entropy", INPUTS.float() + 1, LABELS, device="cpu")
        with pytest.raises(landscape.LandscapeError, match="the train data's fingerprint is"):
            file.measure(measurement, other, name="mine/density")


@pytest.mark.parametrize("case", ["surface", "eigenvalues", "sharpness", "convexity"])
def test_a_changed_loss_function_is_refused_naming_the_loss_at_the_centre(case: str, path: Path) -> None:
    measurement, _ = CASES[case]

    def objective(weight: float) -> landscape.Objective:
        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            return weight * torch.nn.functional.cross_entropy(outputs, targets, reduction="none")

        return landscape.Objective(network().float(), loss, INPUTS.float(), LABELS, device="cpu")

    with landscape.AnalysisFile(path) as file:
        file.measure(measurement, objective(1.0), name="mine/result")
        with pytest.raises(landscape.LandscapeError, match=r"the loss at the centre of train is .*, the file has"):
            file.measure(measurement, objective(1.1), name="mine/result")


def test_other_metrics_of_the_objective_are_refused(path: Path) -> None:
    def error(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) != targets).float()

    measurement = landscape.Surface(points=3, evaluation=FLOAT32)
    with landscape.AnalysisFile(path) as file:
        file.measure(measurement, objective_of(), name="mine/plane")
        with pytest.raises(landscape.LandscapeError, match=r"objective_metrics is .* there and .*error.* here"):
            file.measure(measurement, objective_of(metrics={"error": error}), name="mine/plane")


def test_points_of_other_axes_are_reused(path: Path) -> None:
    coarse, fine = (landscape.Surface(points=count, evaluation=FLOAT32) for count in (3, 5))
    reporter = Recording()
    with landscape.AnalysisFile(path) as file:
        file.measure(coarse, objective_of(), name="mine/coarse")
        measured = file.measure(fine, objective_of(), name="mine/fine", reporter=reporter)
    assert "mine/fine: 9 points are taken from a result on other axes" in reporter.messages
    assert reporter.steps == 25 - 9
    assert_same(measured, landscape.surface(objective_of(), points=5, evaluation=FLOAT32))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"gradient_norm": True}])
def test_points_of_another_measurement_are_not_reused(changes: dict[str, Any], path: Path) -> None:
    reporter = Recording()
    fine = landscape.Surface(points=5, evaluation=FLOAT32, **changes)
    with landscape.AnalysisFile(path) as file:
        file.measure(landscape.Surface(points=3, evaluation=FLOAT32), objective_of(), name="mine/coarse")
        file.measure(fine, objective_of(), name="mine/fine", reporter=reporter)
    assert reporter.steps == 25


def test_measures_of_another_result_are_reused(path: Path) -> None:
    sam, average = MEASURES
    reporter = Recording()
    with landscape.AnalysisFile(path) as file:
        file.measure(landscape.Sharpness((sam,)), objective_of(), name="mine/first")
        file.measure(landscape.Sharpness((average,)), objective_of(), name="mine/second")
        both = file.measure(landscape.Sharpness(MEASURES), objective_of(), name="mine/both", reporter=reporter)
    assert reporter.steps == 0
    assert_same(both, landscape.sharpness(objective_of(), MEASURES))


def test_eigenvectors_are_written_beside_the_file(path: Path) -> None:
    vectors = vector_file(path, "mine", {"seed": 0})
    with landscape.AnalysisFile(path) as file:
        measurement = landscape.Eigenvalues(top=2, vectors=vectors)
        spectrum = file.measure(measurement, objective_of(), name="mine/hessian")
    assert spectrum.attributes["vectors"] == f"{vectors.path.parent.name}/{vectors.path.name}"
    stored = vectors.read()
    assert stored is not None
    objective = objective_of()
    operator = landscape.CurvatureOperator(objective, "hessian")
    tensors, _ = stored
    for number, eigenvalue in enumerate(spectrum.eigenvalues, 1):
        vector = torch.cat([tensors[f"top{number}/{name}"].flatten() for name in objective.origin])
        assert float((operator.matvec(vector) - float(eigenvalue) * vector).norm()) < 0.02 * abs(eigenvalue)


@dataclass(frozen=True)
class ParameterNorms(landscape.Measurement[LayersResult]):
    """A measurement of a user's own: the norm of each parameter, in the place of an eigenvalue."""

    power: float = 2.0

    @property
    def kind(self) -> type[LayersResult]:
        return LayersResult

    @property
    def name(self) -> str:
        return "norms"

    def settings(self) -> dict[str, Any]:
        return {"power": self.power}

    def objective(self, source: Source) -> landscape.Objective:
        return source.objective()

    def run(self, objective: landscape.Objective, found: LayersResult | None, keep: Keep) -> LayersResult:
        names = tuple(objective.origin)
        norms = np.array([float(w.norm(self.power)) for w in objective.origin.values()])
        sizes = np.array([w.numel() for w in objective.origin.values()])
        for name in names:
            keep.advance(1, name)
        zeros = np.zeros(len(names))
        return LayersResult(names, sizes, norms, zeros, np.ones(len(names), bool), zeros, zeros, 0)


def test_a_measurement_defined_outside_of_the_package_runs_through_the_same_runner(path: Path) -> None:
    expected = [float(w.norm()) for w in objective_of().origin.values()]
    with landscape.AnalysisFile(path) as file:
        with pytest.raises(StoppedError):
            file.measure(ParameterNorms(), objective_of(), name="mine/norms", reporter=Recording(stop_after=2))
        measured = file.measure(ParameterNorms(), objective_of(), name="mine/norms")
        np.testing.assert_array_equal(measured.top, expected)
        reporter = Recording()
        file.measure(ParameterNorms(), objective_of(), name="mine/norms", reporter=reporter)
        assert reporter.steps == 0
        with pytest.raises(landscape.LandscapeError, match=r"power is 2\.0 there and 1\.0 here"):
            file.measure(ParameterNorms(1.0), objective_of(), name="mine/norms")
    stored = landscape.load(path)["mine/norms"]
    assert isinstance(stored, LayersResult)
    assert stored.attributes["checkpoint"] == "mine"
    assert stored.attributes["settings"]["power"] == 2.0


def test_a_kind_that_files_do_not_know_is_refused_before_it_is_measured(path: Path) -> None:
    class UnknownResult(LayersResult):
        kind = "unknown"

    class Unknown(ParameterNorms):
        @property
        def kind(self) -> type[LayersResult]:
            return UnknownResult

    reporter = Recording()
    with landscape.AnalysisFile(path) as file, pytest.raises(landscape.LandscapeError, match="got UnknownResult; reg"):
        file.measure(Unknown(), objective_of(), name="mine/unknown", reporter=reporter)
    assert reporter.steps == 0


@pytest.mark.parametrize("name", ["plane", "mine/", "/plane", ""])
def test_a_name_without_label_or_result_is_refused(name: str, path: Path) -> None:
    with landscape.AnalysisFile(path) as file, pytest.raises(landscape.LandscapeError, match="expected a name such as"):
        file.measure(landscape.Surface(points=3), objective_of(), name=name)


def test_the_number_of_threads_stays_the_callers(path: Path) -> None:
    threads = torch.get_num_threads()
    measurement = landscape.Surface(landscape.RandomPlane(line=True), points=3, evaluation=FLOAT32)
    with landscape.AnalysisFile(path) as file:
        file.measure(measurement, objective_of(), name="mine/line")
        other = dataclasses.replace(measurement, seed=1)
        torch.set_num_threads(threads + 1)
        try:
            with pytest.raises(StoppedError):
                file.measure(other, objective_of(), name="mine/other", reporter=Recording(stop_after=1))
        finally:
            torch.set_num_threads(threads)
        resumed = file.measure(other, objective_of(), name="mine/other")
    assert torch.get_num_threads() == threads
    assert isinstance(resumed, LineResult)
    assert resumed.attributes["threads"] == threads + 1  # those of the first points
