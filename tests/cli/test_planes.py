"""Planes of every kind from the command line: where they lie, what is stored, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from landscape.analysis.objective.model.parameters import moving_parameters
from landscape.models.checkpoint import build_model, load_checkpoint, save_checkpoint
from landscape.results import LineResult, SurfaceResult
from landscape.storage.loading import load

FAST = ("--points", "3", "--precision", "float32")


def third(pair) -> Path:
    """Write a checkpoint that lies on no line with the two."""
    import dataclasses

    checkpoint = load_checkpoint(pair.sam)
    state = {n: w.flip(0) if w.is_floating_point() else w for n, w in checkpoint.state.items()}
    path = pair.sam.with_name("third.pt")
    save_checkpoint(dataclasses.replace(checkpoint, state=state, reference={}), path)
    return path


def test_lines_over_several_seeds_are_a_family_with_a_basin_width(run, pair) -> None:
    words = ("--plane", "line", "--seeds", "0,3", "--points", "11", "--precision", "float32")
    outcome = run("surface", pair.sam, *pair.data, *words)
    assert outcome.code == 0, outcome.err
    results = load("results/sam.h5")
    lines = [results["sam/line-d0"], results["sam/line-d3"]]
    assert all(isinstance(line, LineResult) for line in lines)
    assert [line.attributes["directions"]["seed"] for line in lines] == [0, 3]
    assert {line.attributes["family"] for line in lines} == {"line"}
    assert {line.attributes["subset_seed"] for line in lines} == {0}
    small, large = lines[0].attributes["width"]
    assert (small["rise"], large["rise"]) == (0.1, 1)
    loss = lines[0].grid("loss")[0]
    inside = np.abs(lines[0].alpha) < min(small["left"], small["right"])
    assert (loss[inside] < loss[5] + 0.1).all()
    assert "basin width" in outcome.out
    alone = run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "11", "--precision", "float32")
    assert alone.code == 0
    np.testing.assert_array_equal(load("results/sam.h5")["sam/line"].grid("loss"), lines[0].grid("loss"))


def test_batchnorm_modes_side_by_side(run, pair) -> None:
    modes = "fixed,recalibrated,batch"
    assert run("surface", pair.sam, *pair.data, "--plane", "line", *FAST, "--batchnorm", modes).code == 0
    results = load("results/sam.h5")
    lines = {name: results[f"sam/{name}"] for name in ("line", "line-recalibrated", "line-batch")}
    assert [line.attributes["batchnorm"] for line in lines.values()] == modes.split(",")
    assert len({json.dumps(line.attributes["directions"]) for line in lines.values()}) == 1
    centres = [line.grid("loss")[0, 1] for line in lines.values()]
    assert len(set(centres)) == 3
    named = run(
        "surface", pair.sam, *pair.data, "--plane", "line", *FAST, "--batchnorm", "batch,fixed", "--name", "mine"
    )
    assert named.code == 0
    assert {"sam/mine", "sam/mine-batch"} <= set(load("results/sam.h5"))
    for wrong in ("fixed,moving", "fixed,fixed", "auto,fixed"):
        run("surface", pair.sam, *pair.data, *FAST, "--batchnorm", wrong).refused(f"--batchnorm {wrong}", "expected")


def test_a_plane_through_three(run, pair) -> None:
    other = third(pair)
    outcome = run(
        "surface",
        pair.sam,
        pair.adam,
        other,
        *pair.data,
        "--plane",
        "through",
        "--points",
        "5x5",
        "--batchnorm",
        "fixed",
        "--precision",
        "float32",
    )
    assert outcome.code == 0, outcome.err
    plane = load("results/sam+adam+third.h5")["sam..adam..third/through"]
    assert isinstance(plane, SurfaceResult)
    assert plane.shape == (5, 5)
    assert plane.attributes["directions"]["kind"] == "three"
    marks = {mark["label"]: (mark["alpha"], mark["beta"]) for mark in plane.attributes["marks"]}
    assert (marks["sam"], marks["adam"]) == ((0, 0), (1, 0))
    for x, y in marks.values():
        assert plane.alpha[0] < x < plane.alpha[-1]
        assert plane.beta[0] < y < plane.beta[-1]
    row, column = plane.beta.tolist().index(0.0), plane.alpha.tolist().index(0.0)
    assert plane.grid("loss")[0, row, column] == pytest.approx(load_checkpoint(pair.sam).final["train_loss"], rel=1e-5)
    assert [entry["label"] for entry in plane.attributes["checkpoints"]] == ["sam", "adam", "third"]
    again = run(
        "surface",
        pair.sam,
        pair.adam,
        other,
        *pair.data,
        "--plane",
        "through",
        "--points",
        "5x5",
        "--batchnorm",
        "fixed",
        "--precision",
        "float32",
    )
    assert "is already in" in again.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tolerance", "0.1"), "a tolerance compares subsets"),
        (("--metrics", "gradient_norm"), "gradient_norm is of the loss"),
    ],
)
def test_what_batch_statistics_do_not_allow_is_said_before_the_file_is_touched(run, pair, options, said: str) -> None:
    words = ("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3", "--batchnorm", "batch")
    run(*words, *options).refused(said)
    assert not Path("results/sam.h5").exists()


def test_along_the_gradient_and_a_direction_of_ones_own(run, pair) -> None:
    weights = moving_parameters(build_model(load_checkpoint(pair.sam)))
    save_file({f"mine/{name}": torch.ones_like(w) for name, w in weights.items()}, "own.safetensors")
    outcome = run("surface", pair.sam, *pair.data, "--plane", "gradient,own.safetensors:mine", *FAST, "--span", "0.01")
    assert outcome.code == 0, outcome.err
    plane = load("results/sam.h5")["sam/plane-gradient-mine"]
    recipe = plane.attributes["directions"]
    assert recipe["along"] == ["gradient", "mine"]
    assert recipe["norms"] == pytest.approx([1, sum(w.numel() for w in weights.values()) ** 0.5], rel=1e-6)
    loss = plane.grid("loss")[0]
    assert loss[1, 0] < loss[1, 1] < loss[1, 2]  # the gradient ascends
    kept = list(Path("results/sam-vectors").iterdir())
    assert len(kept) == 1  # the gradient; one's own file is not copied
    before = kept[0].read_bytes()
    assert run("surface", pair.sam, *pair.data, "--plane", "sam,gradient", *FAST, "--span", "0.01").code == 0
    assert kept[0].read_bytes() == before  # found there
    assert load("results/sam.h5")["sam/plane-sam-gradient"].attributes["directions"]["parts"][0]["rho"] == 0.05


def test_along_an_eigenvector_the_curvature_is_its_eigenvalue(run, pair) -> None:
    words = ("--plane", "top1", "--points", "3", "--span", "0.05", "--precision", "float32", "--subset", "16")
    assert run("surface", pair.sam, *pair.data, *words).code == 0
    line = load("results/sam.h5")["sam/line-top1"]
    recipe = line.attributes["directions"]
    assert (recipe["kind"], recipe["which"], recipe["converged"]) == ("eigenvectors", "top1", True)
    left, centre, right = line.grid("loss")[0]
    assert (left + right - 2 * centre) / 0.05**2 == pytest.approx(recipe["eigenvalue"], rel=0.1)
    kept = next(Path("results/sam-vectors").iterdir())
    again = f"{kept}:top1"  # the file is one that a user may name as well
    assert run("surface", pair.sam, *pair.data, *words[2:], "--plane", again, "--name", "mine").code == 0
    np.testing.assert_array_equal(load("results/sam.h5")["sam/mine"].grid("loss"), line.grid("loss"))


def test_a_gradient_that_was_kept_is_gone_on_with(run, interrupt, pair) -> None:
    words = ("surface", pair.sam, *pair.data, "--plane", "gradient", "--points", "5", "--precision", "float32")
    whole = run(*words, "--out", "whole.h5")
    assert whole.code == 0
    assert interrupt(*words, after=2).code == 130
    kept = next(Path("results/sam-vectors").iterdir())
    before = kept.stat().st_mtime_ns
    assert run(*words).code == 0
    assert kept.stat().st_mtime_ns == before
    there, here = (load(name)["sam/line-gradient"] for name in ("whole.h5", "results/sam.h5"))
    np.testing.assert_array_equal(there.grid("loss"), here.grid("loss"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--plane", "sideways"], ["--plane sideways", "or one or two of random, gradient"]),
        (["--plane", "gradient,sam,random"], ["--plane gradient,sam,random", "one direction, or two"]),
        (["--plane", "gradient,gradient"], ["names gradient twice"]),
        (["--plane", "none.npz"], ["no such file"]),
        (["--plane", "gradient", "--seeds", "1,2"], ["--seeds are of random directions"]),
        (["--plane", "line", "--seeds", "1,1"], ["--seeds 1,1", "each once"]),
        (["--plane", "line,sam"], ["--plane line,sam", "one direction, or two"]),
        (["--plane", ""], ["--plane ''"]),
        (["--plane", "through"], ["--plane through takes 3 checkpoints", "got 1"]),
        (["--plane", "pca"], ["no folder", "sam-snapshots", "train with --snapshots"]),
    ],
)
def test_what_cannot_be_is_one_line(run, pair, words: list[str], said: list[str]) -> None:
    run("surface", "sam.pt", *pair.data, *words).refused(*said)


@pytest.mark.parametrize(("plane", "models"), [("between", 2), ("through", 3), ("pca", 1)])
def test_axes_of_known_points_are_not_a_span_s(run, pair, plane: str, models: int) -> None:
    """It was passed over without a word."""
    words = (*("sam.pt", "adam.pt", "third.pt")[:models], *pair.data, "--plane", plane, "--span", "1")
    run("surface", *words).refused("--span", f"those of --plane {plane} cover the known points", "--beyond")
