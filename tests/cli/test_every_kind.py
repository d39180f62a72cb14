"""Every kind of result, and one from outside the package, through file, figure, page, exports and info."""

import csv
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import h5py
import numpy as np
import plotly.graph_objects as go
import pytest
from cases import kinds
from cli.conftest import Run

import landscape
from landscape.figures.blocks.block import Block, Plot, result_keys, results_by_name, strip_layout
from landscape.figures.kinds import registry
from landscape.figures.kinds.result_kind import ResultKind
from landscape.results import Labels, Measured, Over, Result
from landscape.storage.hdf5 import LAYOUTS
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

SIZES = {  # what `landscape info` says of each kind
    "a/plane": "7x5 points",
    "a/line": "9 points",
    "a/trajectory": "7 positions, 4 components",
    "a/hessian": "5 eigenpairs",
    "a/density": "301 eigenvalues, 3 vectors, 12 nodes",
    "a/layers": "5 layers",
    "a/convexity": "5x3 points",
    "a/sharpness": "3 measures",
    "study/sharpness": "8 checkpoints, 3 measures",
    "a/history": "6 epochs",
    "a/dynamics": "5 positions, 11 quantities",
    "a/plane-series": "3 positions, 5 alphas, 3 betas, 2 splits, 1 metric",
    "a/noise": "2 sizes, 3 covariance_0s, 2 covariance_1s, 2 layerss, 2 trials, 3 steps",
}


@dataclass(frozen=True)
class Trial:
    """One estimate of the noise."""

    label: Annotated[str, Labels("trial")]
    value: float
    settings: dict[str, float]


@dataclass(frozen=True)
class Noise(Measured):
    """Gradient noise over the batch size, with a field of every type that a file can hold."""

    kind: ClassVar[str] = "noise"
    batch_size: Annotated[np.ndarray, Labels("size")]
    variance: Annotated[np.ndarray, Over("size")]
    covariance: np.ndarray  # (3, 2), dimensions without names
    is_reliable: Annotated[np.ndarray, Over("size")]
    layers: tuple[str, ...]
    trials: Annotated[tuple[Trial, ...], Over("trial")]
    curves: Annotated[dict[str, np.ndarray], Over("step")]
    samples: int
    scale: float
    estimator: str
    options: dict[str, object]
    attributes: dict = field(default_factory=dict)
    seed: int = 7


def noise(label: str = "a") -> Noise:
    return Noise(
        batch_size=np.array([32, 64]),
        variance=np.array([0.5, np.nan]),
        covariance=np.arange(6.0).reshape(3, 2),
        is_reliable=np.array([True, False]),
        layers=("conv", "fc ü"),
        trials=(Trial("first", 0.1, {"rho": 0.5}), Trial("second", 0.2, {})),
        curves={"step": np.arange(3.0), "norm": np.array([1.0, 0.5, 0.25])},
        samples=1000,
        scale=0.1,
        estimator="two batches",
        options={"nested": [1, {"a": None}]},
        attributes={"checkpoint": label, "scale": "an attribute may be called like a field"},
    )


def noise_figure(results, *, title=None, dark=False, **_):
    return go.Figure([go.Scatter(x=r.batch_size, y=r.variance, name=label) for label, r in results.items()])


def noise_blocks(results, colours):
    return [
        Block(
            f"noise-{name}",
            "Noise",
            [Plot(f"noise-plot-{name}", "Noise", {"": strip_layout(noise_figure(group))})],
            result_keys(name, list(group)),
        )
        for name, group in results_by_name(results, Noise).items()
    ]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register the kind for a test, and keep the script of the page short."""
    monkeypatch.setattr("landscape.figures.report.page.get_plotlyjs", lambda: "")
    known, layouts = registry.KINDS.copy(), LAYOUTS.copy()
    registry.register(
        ResultKind(
            Noise,
            noise_figure,
            "Gradient noise",
            noise_blocks,
            lambda result: f"gradient noise from {result.samples} samples",
            lambda result: {"batch_size": result.batch_size, "variance": result.variance},
        )
    )
    yield
    registry.KINDS[:] = known
    LAYOUTS.clear()
    LAYOUTS.update(layouts)


def one_of_each() -> dict[str, Result]:
    everything = {**kinds.make.everything("a"), **kinds.everything("a"), "a/noise": noise()}
    return {name: everything[name] for name in SIZES}


def bits(value: object) -> object:
    """Return an array as its type, shape and bytes, whatever it is in; the points of a table in one order."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, (np.sort(value) if value.dtype.names else value).tobytes()
    if isinstance(value, dict):
        return {name: bits(entry) for name, entry in value.items()}
    return repr(value)


def test_the_list_has_every_registered_kind() -> None:
    kinds_of_results = {registry.kind_of(result).result for result in one_of_each().values()}
    assert kinds_of_results == {kind.result for kind in registry.KINDS}
    assert {result.kind for result in one_of_each().values()} == set(LAYOUTS)


@pytest.mark.parametrize("name", SIZES)
def test_a_kind_survives_file_figure_page_exports_and_info(name: str, run: Run) -> None:
    result = one_of_each()[name]
    with ResultFile("f.h5") as file:
        file.put(name, result)
    stored = load("f.h5")[name]
    assert type(stored) is type(result)
    for stated in dataclasses.fields(result):
        assert bits(getattr(stored, stated.name)) == bits(getattr(result, stated.name)), stated.name

    assert len(landscape.figure(stored).data) > 0

    described = json.loads(run("info", "f.h5", "--json").out)[name]
    assert (described["kind"], described["holds"]) == (result.kind, SIZES[name])
    assert run("info", "f.h5").code == 0

    assert run("report", "f.h5", "--out", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert f'"{name}"' in page or f">{name}<" in page

    assert run("export", "f.h5", "--format", "csv,npz", "--out", "o").code == 0
    stem = name.replace("/", "-")
    with np.load(f"o/{stem}.npz", allow_pickle=False) as archive:
        assert archive["kind"] == result.kind
    with Path(f"o/{stem}.csv").open(encoding="utf-8") as text:
        columns = registry.kind_of(result).table(result)
        rows = list(csv.DictReader(text))
        assert list(rows[0]) == list(columns)
        assert len(rows) == len(next(iter(columns.values())))


def test_a_kind_that_is_not_registered_is_named_and_the_others_are_shown(run: Run) -> None:
    with ResultFile("f.h5") as file:
        file.put("a/noise", noise())
        file.put("a/history", kinds.make.history("a"))
    LAYOUTS.pop("noise")
    outcome = run("info", "f.h5")
    assert outcome.code == 0
    assert "a/history" in outcome.out
    assert "a/noise" in outcome.err
    assert "'noise', which this version of landscape does not know" in outcome.err


@pytest.mark.parametrize("command", [("info",), ("report", "--out", "page.html"), ("export", "--format", "csv")])
@pytest.mark.parametrize("name", ["a/plane", "a/hessian", "a/sharpness", "a/history", "a/noise"])
def test_commands_name_a_damaged_result_and_use_the_others(name: str, command: tuple[str, ...], run: Run) -> None:
    with ResultFile("f.h5") as file:
        for key, result in one_of_each().items():
            file.stage(key, result)
        file.put(key, result)
    with h5py.File("f.h5", "r+") as changed:
        array = next(item for item in changed[name].values() if item.dtype.kind == "f")
        array[...] = array[()] + 1e-9
    outcome = run(command[0], "f.h5", *command[1:])
    assert outcome.code == 0, outcome.err
    assert f"{name} in f.h5 is left out: its numbers or texts were changed" in outcome.err
    assert "Traceback" not in outcome.err
