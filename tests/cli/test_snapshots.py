"""Measurements over a run's snapshots, from the command line: hessian, sharpness and surface with --snapshots."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from landscape.results import DynamicsResult, SurfaceSeriesResult
from landscape.storage.loading import load


@pytest.fixture(scope="module")
def trained_run(one_thread, tmp_path_factory):
    """A run of Adam for two epochs with its snapshots, made by the command itself."""
    from cli.conftest import tiny_arrays

    from landscape.cli import main

    folder = tmp_path_factory.mktemp("run")
    np.savez(folder / "tiny.npz", **tiny_arrays())
    arguments = ["train", "adam", "--data", f"npz:{folder}/tiny.npz", "--epochs", "2", "--batch-size", "32"]
    settings = ["--precision", "float32"]
    assert main([*arguments, *settings, "--snapshots", "--out", f"{folder}/adam.pt", "--device", "cpu"]) in (0, None)
    return folder


@pytest.fixture
def folder(trained_run, tmp_path, monkeypatch):
    shutil.copytree(trained_run, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


def test_eigenvalues_over_epochs_with_the_edge_of_adam(run, folder: Path) -> None:
    data = ("--data", "npz:tiny.npz")
    outcome = run("hessian", "adam.pt", *data, "--snapshots", "--top", "2", "--subset", "32", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert "adam/dynamics: during training" in outcome.out
    assert "Hessian-vector products" in outcome.err
    result = load("results/adam.h5")["adam/dynamics"]
    assert isinstance(result, DynamicsResult)
    assert result.finished
    assert result.position.tolist() == [0, 1, 2]
    assert {"lambda_max", "lambda_2", "train_loss", "test_loss", "generalization_gap"} <= set(result.quantities)
    assert np.isfinite(result.series("preconditioned_lambda_max")[1:]).all()
    rates = result.series("learning_rate")
    edge = result.series("edge")
    known = np.isfinite(rates)
    assert known.any()
    np.testing.assert_allclose(edge[known], 38 / rates[known])
    assert result.attributes["examples"] == {"train": 32, "test": 32}
    again = run("hessian", "adam.pt", *data, "--snapshots", "--top", "2", "--subset", "32", "--device", "cpu")
    assert "already in" in again.err
    assert run("report", "results/adam.h5", "--out", "page.html").code == 0
    assert run("export", "results/adam.h5", "--name", "dynamics", "--format", "csv", "--out", "o").code == 0
    assert (
        Path("o/adam-dynamics.csv").read_text().startswith("position,quantity,value,error,error_kind\n0.0,lambda_max")
    )


def test_sharpness_over_every_second_snapshot_of_a_list(run, folder: Path) -> None:
    files = ",".join(f"adam-snapshots/epoch-{epoch:04d}.safetensors" for epoch in range(3))
    options = ("--data", "npz:tiny.npz", "--measures", "sam", "--subset", "32", "--device", "cpu", "--json")
    outcome = run("sharpness", "adam.pt", "--snapshots", files, "--every", "2", *options)
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)["adam/dynamics"]
    assert summary["position"] == [0, 2]
    assert "SAM sharpness, ρ = 0.05" in summary["quantities"]
    assert "lambda_max" not in summary["quantities"]


def test_surfaces_around_the_snapshots_make_an_animation_on_the_page(run, folder: Path) -> None:
    options = ("--data", "npz:tiny.npz", "--points", "3", "--subset", "32", "--precision", "float32", "--device", "cpu")
    outcome = run("surface", "adam.pt", *options, "--snapshots", "--every", "2")
    assert outcome.code == 0, outcome.err
    assert "at the snapshot" in outcome.out
    series = load("results/adam.h5")["adam/plane-series"]
    assert isinstance(series, SurfaceSeriesResult)
    assert series.values.shape == (2, 1, 2, 3, 3)
    assert run("report", "results/adam.h5", "--out", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert '"frames":[{' in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hessian", "a.pt", "--every", "2"), ("--every is of --snapshots",)),
        (("hessian", "a.pt", "--snapshots", "--every", "0"), ("--every", "at least 1")),
        (("hessian", "--snapshots", "a.pt"), ("put it before --snapshots",)),
        (("hessian", "a.pt", "b.pt", "--snapshots", "folder"), ("of one run, got 2 checkpoints",)),
        (("hessian", "a.pt", "--snapshots", "--trace"), ("--trace is of one checkpoint",)),
        (("surface", "a.pt", "--snapshots", "--plane", "line"), ("a plane around each snapshot",)),
        (("surface", "a.pt", "--snapshots", "--seeds", "0,1"), ("--seeds",)),
        (("sharpness", "a.pt", "b.pt", "c.pt", "--snapshots", "--study"), ("--study and --match",)),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, arguments, words) -> None:
    run(*arguments).refused(*words)


def test_training_is_monitored_and_its_probes_are_in_the_report(run, folder: Path) -> None:
    options = ("--data", "npz:tiny.npz", "--epochs", "1", "--batch-size", "32", "--precision", "float32")
    monitor = ("--monitor", "lambda_max,sam", "--monitor-every", "1", "--device", "cpu")
    outcome = run("train", "adam", *options, *monitor, "--out", "m.pt")
    assert outcome.code == 0, outcome.err
    assert "landscape report results/m.h5" in outcome.err
    result = load("results/m.h5")["m/monitor"]
    assert isinstance(result, DynamicsResult)
    assert result.position.tolist() == [2]
    assert {"lambda_max", "sam_sharpness"} <= set(result.quantities)
    run("train", "adam", *options, "--monitor", "sharp", "--out", "n.pt").refused("a measure among lambda_max")
