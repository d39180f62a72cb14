"""A full or closed terminal: results are stored all the same; exit 74 where they could not be printed, or quiet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from landscape.cli.parsing import COMMANDS
from landscape.cli.terminal import streams

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")


def shell(command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    line = command.replace("landscape", f"{sys.executable} -m landscape")
    env = {**os.environ, **environment}
    return subprocess.run(line, shell=True, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "code", "err"),
    [
        ("landscape --help > /dev/full", 74, "error: cannot write to stdout: No space left on device"),
        ("landscape --version > /dev/full", 74, "error: cannot write to stdout: No space left on device"),
        ("landscape info --help > /dev/full", 74, "error: cannot write to stdout: No space left on device"),
        ("landscape --help >&-", 0, ""),
        ("landscape --help > /dev/full 2> /dev/full", 74, ""),
        ("landscape --help >&- 2>&- <&-", 0, ""),
        ("landscape info nope.pt 2> /dev/full", 2, ""),
        ("landscape info nope.pt 2>&-", 2, ""),
        ("set -o pipefail; landscape --help | true", 0, ""),
    ],
)
def test_full_and_closed_streams(tmp_path: Path, command: str, code: int, err: str) -> None:
    done = shell(f"exec bash -c '{command}'", tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(err)
    assert done.stderr.count("\n") == (err != "")


def test_results_are_stored_and_the_next_command_reads_them(pair, tmp_path: Path) -> None:
    measured = f"landscape surface {pair.sam} --data npz:{pair.npz} --points 3 > /dev/full 2> /dev/full"
    assert shell(measured, tmp_path).returncode == 74
    printed = shell("landscape info results/sam.h5", tmp_path)
    assert printed.returncode == 0
    assert "3x3 points" in printed.stdout


@pytest.mark.parametrize("columns", ["1", "39", "-3", "²", "many", "99999999999999999999"])
def test_any_width_is_made_one_that_help_can_be_laid_out_in(monkeypatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    streams.prepare_process()
    assert int(os.environ.get("COLUMNS", 80)) >= streams.LEAST_COLUMNS
    assert int(os.environ.get("LINES", 24)) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_at_the_least_width(run, monkeypatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", str(streams.LEAST_COLUMNS))
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 2 * streams.LEAST_COLUMNS


def test_one_column_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = shell("landscape train --help", tmp_path, COLUMNS="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--epochs" in done.stdout
