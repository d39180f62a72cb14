"""The convexity map as a command: what it prints and stores, how it goes on, what it refuses, how it is drawn."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from landscape.figures.figure import figure
from landscape.results import ConvexityResult
from landscape.storage.loading import load

FEW = ("--points", "5x3", "--subset", "16", "--params", "linear.*", "--tolerance", "0.1")


def same(found: ConvexityResult, expected: ConvexityResult) -> None:
    """Check that two maps are the same to the bit."""
    assert found.points.tobytes() == expected.points.tobytes()


def test_a_map_is_printed_stored_found_again_and_drawn(run, pair) -> None:
    outcome = run("convexity", pair.sam, *pair.data, *FEW)
    assert outcome.code == 0, outcome.err
    assert "|λ_min / λ_max| of the Hessian" in outcome.out
    assert "sam/convexity" in outcome.out
    assert outcome.err.index("sam/convexity: 15 points x 16 examples") < outcome.err.index("products,")
    assert "bounds within the tolerance of 0.1 at 15 of 15 points" in outcome.err
    assert "next: landscape report results/sam.h5 --open" in outcome.err
    found = load("results/sam.h5")["sam/convexity"]
    assert isinstance(found, ConvexityResult)
    assert found.metrics == ("convexity", "lambda_min", "lambda_max", "products")
    assert found.complete
    assert found.shape == (3, 5)
    assert np.isfinite(found.grid("convexity")).all()
    attributes = found.attributes
    assert attributes["examples"] == {"train": 16}
    assert attributes["directions"]["kind"] == "random"
    assert attributes["settings"]["tolerance"] == 0.1
    assert attributes["derivative_mode"]
    assert "extreme eigenvalue" in attributes["bound"]

    before = Path("results/sam.h5").read_bytes()
    again = run("convexity", pair.sam, *pair.data, *FEW)
    assert "sam/convexity is already in results/sam.h5 with these settings" in again.err
    assert again.out == outcome.out
    assert Path("results/sam.h5").read_bytes() == before

    assert "5x3 points" in run("info", "results/sam.h5").out
    assert run("report", "--out", "page.html").code == 0
    page = Path("page.html").read_text()
    assert "Convexity map" in page
    drawn = figure(found).data[0]
    np.testing.assert_array_equal(drawn.customdata[..., 1], found.grid("lambda_min")[0])
    np.testing.assert_array_equal(drawn.customdata[..., 2], found.grid("lambda_min", column="bound")[0])
    np.testing.assert_array_equal(drawn.customdata[..., 3], found.grid("lambda_max")[0])
    np.testing.assert_array_equal(drawn.customdata[..., 4], found.grid("lambda_max", column="bound")[0])
    assert "λ_min %{customdata[1]" in drawn.hovertemplate
    assert "λ_max %{customdata[3]" in drawn.hovertemplate


def test_its_plane_is_that_of_a_surface(run, pair) -> None:
    options = ("--seed", "4", "--normalization", "layer", "--params", "linear.*", "--subset", "16")
    assert run("surface", pair.sam, *pair.data, "--points", "3", "--precision", "float32", *options).code == 0
    assert run("convexity", pair.sam, *pair.data, "--points", "3", "--span", "0.5", *options).code == 0
    results = load("results/sam.h5")
    plane, found = results["sam/plane"], results["sam/convexity"]
    assert found.attributes["directions"]["hashes"] == plane.attributes["directions"]["hashes"]
    assert found.alpha.tolist() == found.beta.tolist() == [-0.5, 0.0, 0.5]


def test_the_origin_is_what_hessian_finds(run, pair) -> None:
    options = ("--params", "linear.*", "--subset", "16")
    found = json.loads(run("convexity", pair.sam, *pair.data, "--points", "3", "--json", *options).out)["sam/convexity"]
    spectrum = json.loads(run("hessian", pair.sam, *pair.data, "--top", "1", "--bottom", "1", "--json", *options).out)[
        "sam/hessian"
    ]
    top, bottom = spectrum["eigenvalues"]
    assert found["lambda_max"][0][1][1] == pytest.approx(top, abs=0.05 * top)
    assert found["lambda_min"][0][1][1] == pytest.approx(bottom, abs=0.05 * top)
    assert found["lambda_max_bound"][0][1][1] <= 0.05 * top


@pytest.mark.parametrize(("after", "more"), [(1, ()), (7, ("--quick",))])
def test_a_stopped_run_goes_on_to_the_same_bits(run, interrupt, pair, after: int, more: tuple[str, ...]) -> None:
    words = ("convexity", pair.sam, *pair.data, *FEW, *more)
    stopped = interrupt(*words, after=after)
    assert stopped.code == 130
    assert "To go on: landscape convexity" in stopped.err
    partial = load("results/sam.h5")["sam/convexity"]
    assert int(partial.computed().sum()) == after
    run(*words, "--seed", "3").refused("sam/convexity", "unfinished", "seed is 0 there and 3 here")
    assert run("report", "--out", "partial.html").code == 0
    resumed = run(*words)
    assert resumed.code == 0
    assert f"sam/convexity: resuming with {15 - after} points left" in resumed.err
    assert run(*words, "--out", "undisturbed.h5").code == 0
    same(load("results/sam.h5")["sam/convexity"], load("undisturbed.h5")["sam/convexity"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_loses_at_most_the_point_in_flight(run, pair, tmp_path: Path) -> None:
    words = ["convexity", str(pair.sam), *pair.data, *FEW[2:], "--points", "9x3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "landscape", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 150
    journal = tmp_path / "results/sam.h5.journal"
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 4):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    kept = journal.read_bytes().count(b"\n") - 1
    process.kill()
    process.communicate()
    done = int(load(tmp_path / "results/sam.h5")["sam/convexity"].computed().sum())
    assert kept <= done < 27
    resumed = run(*words)
    assert f"resuming with {27 - done} points left" in resumed.err
    assert run(*words, "--out", "undisturbed.h5").code == 0
    same(load("results/sam.h5")["sam/convexity"], load("undisturbed.h5")["sam/convexity"])


def test_several_checkpoints_and_other_settings_have_names_of_their_own(run, pair) -> None:
    few = ("--points", "3", *FEW[2:])
    assert run("convexity", pair.sam, pair.adam, *pair.data, *few).code == 0
    outcome = run("convexity", pair.sam, pair.adam, *pair.data, *few, "--quick")
    assert outcome.err.count("bounds within the tolerance of 0.1 at ") == 2
    results = load("results/sam+adam.h5")
    assert {f"{name}/convexity{n}" for name in ("sam", "adam") for n in ("", "-2")} < set(results)
    assert run("report").code == 0
    overwritten = run("convexity", pair.sam, pair.adam, *pair.data, *few, "--overwrite", "--name", "convexity")
    assert overwritten.code == 0
    assert "already" not in overwritten.err


def test_other_planes_and_modes_of_batchnorm_have_their_names(run, pair) -> None:
    few = ("--points", "3", "--span", "0.1", *FEW[2:])
    assert run("convexity", pair.sam, *pair.data, *few, "--plane", "gradient,random").code == 0
    assert run("convexity", pair.sam, *pair.data, *few, "--batchnorm", "fixed,recalibrated").code == 0
    assert run("convexity", pair.sam, *pair.data, *few, "--seeds", "3,4", "--name", "mine").code == 0
    results = load("results/sam.h5")
    names = {"convexity-gradient-random", "convexity", "convexity-recalibrated", "mine-d3", "mine-d4"}
    assert {f"sam/{name}" for name in names} < set(results)
    assert results["sam/convexity-recalibrated"].attributes["batchnorm"] == "recalibrated"
    fixed, recalibrated = (
        results[f"sam/{name}"].grid("lambda_max") for name in ("convexity", "convexity-recalibrated")
    )
    assert (fixed != recalibrated).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--plane", "line"], ["of a plane, got --plane line"]),
        (["--plane", "between"], ["--plane between takes 2 checkpoints"]),
        (["--plane", "gradient"], ["of a plane, got --plane gradient", "two directions"]),
        (["--points", "4"], ["got 4 points", "odd"]),
        (["--points", "five"], ["--points five"]),
        (["--tolerance", "0"], ["got --tolerance 0", "relative error"]),
        (["--batchnorm", "batch"], ["got --batchnorm batch", "derivatives"]),
        (["--params", "nothing.*"], ["nothing.*"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_writes_nothing(run, pair, options, words) -> None:
    run("convexity", pair.sam, *pair.data, "--subset", "16", *options).refused(*words)
    assert not list(Path("results").glob("*.h5"))


def test_a_point_where_the_loss_diverges_is_left_empty_and_said(run, pair) -> None:
    outcome = run("convexity", pair.sam, *pair.data, *FEW[2:], "--points", "3", "--span", "1e39")
    assert outcome.code == 0, outcome.err
    assert "the loss diverges at 8 points" in outcome.err
    found = load("results/sam.h5")["sam/convexity"]
    np.testing.assert_array_equal(np.isfinite(found.grid("lambda_max")[0]), np.diag([0, 1, 0]))
    assert run("report").code == 0
