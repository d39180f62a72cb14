import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from cases.processes import LANDSCAPE

from landscape.errors import LandscapeError
from landscape.results import Result, SurfaceResult
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

PLANE = ("--points", "5x3", "--precision", "float32")


def started(words: list[str], folder: Path) -> "subprocess.Popen[str]":
    """Start a command in a process of its own and return once its journal holds some points."""
    process = subprocess.Popen(
        [*LANDSCAPE, *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 100
    while not any(journal.read_bytes().count(b"\n") > 4 for journal in folder.glob("results/*.journal")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process


def test_a_killed_run_goes_on_and_ends_bit_for_bit_like_an_undisturbed_one(run, pair, tmp_path: Path) -> None:
    words = ["surface", str(pair.sam), *pair.data, "--points", "13x9", "--precision", "float32"]
    process = started(words, tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    partial = load(tmp_path / "results/sam.h5")["sam/plane"]
    assert isinstance(partial, SurfaceResult)
    done = int(partial.computed().sum())
    assert 0 < done < 13 * 9
    # Readers show what there is.
    info = run("info", "results/sam.h5")
    assert f"13x9 points, {done} of them computed" in info.out
    assert run("report", "--out", "partial.html").code == 0

    resumed = run(*words)
    assert resumed.code == 0
    assert f"sam/plane: resuming with {13 * 9 - done} points left" in resumed.err
    assert not list(tmp_path.glob("results/*.journal"))
    assert run(*words, "--out", "undisturbed.h5").code == 0
    found, expected = load("results/sam.h5")["sam/plane"], load("undisturbed.h5")["sam/plane"]
    for column in ("value", "stderr", "n"):
        for metric in ("loss", "accuracy"):
            np.testing.assert_array_equal(found.grid(metric, column=column), expected.grid(metric, column=column))
    assert len(found.points) == len(expected.points)


def test_ctrl_c_says_how_to_go_on(run, pair, tmp_path: Path) -> None:
    spaced = tmp_path / "my sam.pt"
    pair.sam.rename(spaced)
    process = started(["surface", spaced.name, *pair.data, "--points", "13x9", "--precision", "float32"], tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("stopped; what was finished is kept. To go on: landscape surface 'my sam.pt' ")
    resumed = run(*shlex.split(last.partition("landscape ")[2]))
    assert resumed.code == 0
    assert "resuming with" in resumed.err


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--points", "7"], "x axis (points, from, to) is [5, -1.0, 1.0] there and [7, -1.0, 1.0] here"),
        (["--seed", "3"], "seed is 0 there and 3 here"),
        (["--precision", "auto"], "precision is float32 there and auto here"),
        (["--subset", "all"], "subset is 2000 there and all here"),
        (["--normalization", "layer"], "normalization is filter there and layer here"),
    ],
)
def test_other_settings_than_an_unfinished_run_are_refused(run, interrupt, pair, options, difference) -> None:
    assert interrupt("surface", pair.sam, *pair.data, *PLANE, after=4).code == 130
    before = load("results/sam.h5")["sam/plane"]
    run("surface", pair.sam, *pair.data, *PLANE, *options).refused("sam/plane", "unfinished", difference)
    np.testing.assert_array_equal(np.sort(load("results/sam.h5")["sam/plane"].points), np.sort(before.points))
    assert int(before.computed().sum()) == 4


def test_another_checkpoint_or_other_data_does_not_go_on(run, interrupt, pair, tmp_path: Path) -> None:
    interrupt("surface", pair.sam, *pair.data, *PLANE, after=4)
    arrays = dict(np.load(pair.npz))
    np.savez(tmp_path / "other.npz", **{**arrays, "train_images": 255 - arrays["train_images"]})
    outcome = run("surface", pair.sam, "--data", "npz:other.npz", *PLANE)
    assert outcome.code == 2
    assert "the train data's fingerprint is" in outcome.err.splitlines()[-1]
    pair.adam.replace(pair.sam)
    outcome = run("surface", pair.sam, *pair.data, *PLANE)
    assert outcome.code == 2
    assert "the checkpoint's SHA-256 is" in outcome.err.splitlines()[-1]


def test_an_unfinished_run_lets_others_use_the_file(run, interrupt, pair) -> None:
    interrupt("surface", pair.sam, *pair.data, *PLANE, after=4)
    assert run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3").code == 0
    quick = ("--top", "1", "--max-products", "2", "--params", "linear.*")
    assert run("hessian", pair.sam, *pair.data, *quick).code == 0
    assert run("surface", pair.sam, *pair.data, *PLANE, "--seed", "3", "--name", "third").code == 0
    assert int(load("results/sam.h5")["sam/plane"].computed().sum()) == 4
    assert "resuming with 11 points left" in run("surface", pair.sam, *pair.data, *PLANE).err
    results = load("results/sam.h5")
    assert {"sam/plane", "sam/line", "sam/hessian", "sam/third"} < set(results)
    assert results["sam/plane"].complete


def test_a_stopped_overwrite_goes_on_too(run, interrupt, pair) -> None:
    run("surface", pair.sam, *pair.data, *PLANE)
    interrupt("surface", pair.sam, *pair.data, *PLANE, "--overwrite", after=4)
    outcome = run("surface", pair.sam, *pair.data, *PLANE, "--overwrite")
    assert "resuming with 11 points left" in outcome.err


def test_all_checkpoints_of_a_stopped_run_keep_its_settings(run, interrupt, pair, monkeypatch) -> None:
    words = ("surface", pair.sam, pair.adam, *pair.data, "--points", "3", "--precision", "float32")
    interrupt(*words, after=3)
    results = load("results/sam+adam.h5")
    assert int(results["sam/plane"].computed().sum()) == 3
    assert run("report").code == 0
    monkeypatch.setattr(
        "landscape.workflow.measurements.surface.choose_settings", lambda *_, **__: pytest.fail("settled again")
    )
    assert run(*words).code == 0
    results = load("results/sam+adam.h5")
    assert all(results[f"{name}/plane"].complete for name in ("sam", "adam"))


def test_a_run_that_would_give_other_bits_is_not_gone_on_with(run, interrupt, pair, monkeypatch) -> None:
    interrupt("surface", pair.sam, *pair.data, *PLANE, after=4)
    monkeypatch.setattr("landscape.analysis.objective.objective.Objective.is_folded", False)
    run_again = run("surface", pair.sam, *pair.data, *PLANE)
    assert run_again.code == 2
    assert "begun with the code path folded and this is plain" in run_again.err


def test_a_second_writer_is_refused_and_readers_are_not(run, pair) -> None:
    run("surface", pair.sam, *pair.data, "--points", "3")
    with ResultFile("results/sam.h5"):
        run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3").refused(
            "sam.h5", "being written by another process"
        )
        assert run("report").code == 0
        assert run("info", "results/sam.h5").code == 0


def test_a_full_disk_is_one_line_and_loses_nothing(run, pair, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3")
    before = Path("results/sam.h5").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = run("surface", pair.sam, *pair.data, *PLANE)
    assert outcome.code == 2
    assert "No space left on device" in outcome.err.splitlines()[-1]
    assert Path("results/sam.h5").read_bytes() == before
    assert run("surface", pair.sam, *pair.data, *PLANE).code == 0


def test_a_torn_journal_alone_is_no_obstacle(run, pair, tmp_path: Path) -> None:
    (tmp_path / "f.h5.journal").write_bytes(b'0badc0de {"name"')
    with pytest.raises(LandscapeError, match="no such file"):
        load("f.h5")
    assert run("surface", pair.sam, *pair.data, "--points", "3", "--out", "f.h5").code == 0
    assert not (tmp_path / "f.h5.journal").exists()


@pytest.mark.parametrize(
    ("words", "name", "derived"),
    [
        (("surface", "--plane", "between", "--points", "3", "--precision", "float32"), "sam..adam/between", "barrier"),
        (("convexity", "--points", "3", "--subset", "20", "--params", "linear.*"), "sam/convexity", "tolerance"),
    ],
)
def test_what_is_derived_from_the_points_is_there_after_a_stop_before_the_last_write(
    run, pair, monkeypatch, words, name, derived
) -> None:
    models = (pair.sam, pair.adam) if derived == "barrier" else (pair.sam,)
    command = (words[0], *models, *pair.data, *words[1:], "--out", "f.h5")

    def stop(self: ResultFile, key: str, result: Result) -> None:
        if key == name and result.finished:
            raise KeyboardInterrupt
        put(self, key, result)

    put = ResultFile.put
    with monkeypatch.context() as patch:
        patch.setattr(ResultFile, "put", stop)
        assert run(*command).code == 130
    stopped = load("f.h5")[name]
    assert stopped.computed().all()
    assert not stopped.complete
    assert derived not in stopped.attributes
    assert ", not finished" in run("info", "f.h5").out
    assert run("report", "f.h5").code == 0
    assert run(*command).code == 0
    found = load("f.h5")[name]
    assert found.complete
    assert derived in found.attributes
    for column in found.points.dtype.names:
        np.testing.assert_array_equal(*(np.sort(result.points)[column] for result in (found, stopped)))
    assert "already in" in run(*command).err
