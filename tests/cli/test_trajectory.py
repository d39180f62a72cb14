"""A training run on the plane of its two principal components, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from landscape.models.checkpoint import load_checkpoint
from landscape.results import SurfaceResult, TrajectoryResult
from landscape.storage.loading import load


@pytest.fixture
def snapshots(pair) -> Path:
    """Write a run of four snapshots that ends at the checkpoint."""
    folder = pair.sam.with_name("sam-snapshots")
    folder.mkdir()
    end = load_checkpoint(pair.sam).state
    generator = torch.Generator().manual_seed(0)
    for epoch in range(4):
        far = (3 - epoch) / 30
        state = {
            n: w + far * torch.randn(w.shape, generator=generator)
            if w.is_floating_point() and "running" not in n
            else w
            for n, w in end.items()
        }
        save_file(state, folder / f"epoch-{epoch:04d}.safetensors", metadata={"epoch": str(epoch)})
    return folder


def test_the_run_and_the_surface_on_its_plane(run, pair, snapshots: Path) -> None:
    outcome = run("trajectory", pair.sam, *pair.data)
    assert outcome.code == 0, outcome.err
    assert "off the plane" in outcome.out
    assert "of the variance" in outcome.err
    way = load("results/sam.h5")["sam/trajectory"]
    assert isinstance(way, TrajectoryResult)
    assert way.position.tolist() == [0, 1, 2, 3]
    assert way.distances[-1] == 0
    assert (way.alpha[-1], way.beta[-1]) == (0, 0)
    assert way.attributes["snapshots"] == [f"epoch-{n:04d}.safetensors" for n in range(4)]
    outcome = run(
        "surface", pair.sam, *pair.data, "--plane", "pca", "--points", "5", "--precision", "float32", "--beyond", "0.1"
    )
    assert outcome.code == 0, outcome.err
    plane = load("results/sam.h5")["sam/pca"]
    assert isinstance(plane, SurfaceResult)
    assert plane.attributes["directions"]["hashes"] == way.attributes["directions"]["hashes"]
    assert plane.attributes["directions"]["explained"] == pytest.approx(way.explained.tolist())
    assert plane.attributes["batchnorm"] == "recalibrated"
    assert plane.alpha[0] < way.alpha.min()
    assert plane.alpha[-1] > way.alpha.max()
    assert plane.beta[-1] > way.beta.max()


def test_files_in_order_as_json(run, pair, snapshots: Path) -> None:
    files = ",".join(str(path) for path in sorted(snapshots.iterdir()))
    outcome = run("trajectory", pair.sam, *pair.data, "--snapshots", files, "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)["sam/trajectory"]
    assert len(found["attributes"]["snapshots"]) == 4
    assert run("surface", pair.sam, *pair.data, "--plane", f"pca:{files}", "--points", "3").code == 0
    assert np.diff(found["explained"]).max() <= 0
    assert "is already" not in outcome.err


def test_a_surface_on_it_goes_on_to_the_same_bits(run, interrupt, pair, snapshots: Path) -> None:
    words = ("surface", pair.sam, *pair.data, "--plane", "pca", "--points", "3", "--precision", "float32")
    assert run(*words, "--out", "whole.h5").code == 0
    assert interrupt(*words, after=4).code == 130
    assert run(*words).code == 0
    whole, parts = (load(name)["sam/pca"] for name in ("whole.h5", "results/sam.h5"))
    np.testing.assert_array_equal(whole.grid("loss"), parts.grid("loss"))
    assert "sam/trajectory" in load("results/sam.h5")


def test_snapshots_of_another_model_are_refused(run, pair, snapshots: Path) -> None:
    save_file({"weight": torch.ones(2)}, snapshots / "epoch-0002.safetensors")
    run("trajectory", pair.sam, *pair.data).refused("snapshot 3 of 4", "the two models differ")
    run("trajectory", pair.sam, pair.adam, *pair.data, "--snapshots", "x").refused("--snapshots are of one run")
