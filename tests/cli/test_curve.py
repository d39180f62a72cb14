"""The curve between two checkpoints from the command line: trained, kept while it runs, measured beside the line."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from landscape.analysis.connectivity.curve_training import CurveTraining
from landscape.results import LineResult, SurfaceResult, TrajectoryResult
from landscape.storage.loading import load

SMALL = (
    "--steps",
    "6",
    "--points",
    "5",
    "--plane-points",
    "3",
    "--subset",
    "32",
    "--precision",
    "float32",
)


def test_a_curve_is_trained_measured_and_drawn_on_its_plane(run, pair) -> None:
    outcome = run("curve", pair.sam, pair.adam, *pair.data, *SMALL)
    assert outcome.code == 0, outcome.err
    assert "barrier" in outcome.out
    results = load("results/sam+adam.h5")
    straight, curved = results["sam..adam/between"], results["sam..adam/curve"]
    assert isinstance(straight, LineResult)
    assert isinstance(curved, LineResult)
    assert straight.attributes["directions"]["kind"] == "between"
    assert curved.attributes["directions"]["kind"] == "bezier"
    assert curved.attributes["directions"]["training"]["steps"] == 6
    assert {line.attributes["batchnorm"] for line in (straight, curved)} == {"recalibrated"}
    assert {line.attributes["precision"] for line in (straight, curved)} == {"float32"}
    np.testing.assert_allclose(curved.grid("loss")[0, [0, -1]], straight.grid("loss")[0, [0, -1]], rtol=1e-4)
    assert curved.grid("loss")[0, 2] != straight.grid("loss")[0, 2]
    assert set(curved.attributes["barrier"]["train"]["loss"]) == {"value", "stderr", "at"}
    plane, path = results["sam..adam/curve-plane"], results["sam..adam/curve-path"]
    assert isinstance(plane, SurfaceResult)
    assert isinstance(path, TrajectoryResult)
    assert [mark["label"] for mark in plane.attributes["marks"]] == ["sam", "adam", "control point"]
    assert path.attributes["directions"]["hashes"] == plane.attributes["directions"]["hashes"]
    assert (path.alpha[0], path.alpha[-1]) == (0, 1)
    again = run("curve", pair.sam, pair.adam, *pair.data, *SMALL)
    assert again.out == outcome.out
    assert again.err.count("is already in") == 4


def test_a_stopped_training_goes_on_to_the_same_bits(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("curve", pair.sam, pair.adam, *pair.data, *SMALL, "--plane-points", "0")
    assert run(*words, "--out", "whole.h5").code == 0
    step = CurveTraining.step

    def stopping(self: CurveTraining) -> float:
        if self.done == 3:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(CurveTraining, "step", stopping)
        outcome = run(*words)
    assert outcome.code == 130
    assert f"To go on: landscape {' '.join(map(str, words))}" in outcome.err
    outcome = run(*words)
    assert outcome.code == 0
    assert "resumed after 3 of 6 steps" in outcome.err
    controls = []
    for folder in ("whole-vectors", "results/sam+adam-vectors"):
        with safe_open(next(Path(folder).iterdir()), framework="np") as file:
            controls.append({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    assert controls[0].keys() == controls[1].keys()
    for name in controls[0]:
        np.testing.assert_array_equal(controls[0][name], controls[1][name])
    lines = [load(name)["sam..adam/curve"] for name in ("whole.h5", "results/sam+adam.h5")]
    np.testing.assert_array_equal(lines[0].grid("loss"), lines[1].grid("loss"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sam.pt"], ["a curve connects two checkpoints", "got 1"]),
        (["sam.pt", "adam.pt", "--steps", "0"], ["--steps 0"]),
        (["sam.pt", "adam.pt", "--points", "5x3"], ["--points 5x3", "one number"]),
    ],
)
def test_what_cannot_be_is_one_line(run, pair, words: list[str], said: list[str]) -> None:
    run("curve", *words, *pair.data).refused(*said)
