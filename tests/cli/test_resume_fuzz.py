"""Runs killed again and again, at random moments: nothing computed is lost, and the end is that of an undisturbed run.

A run is a copy of this process, which has torch loaded already. The moments are random amounts of the run's own
processor time, so that they do not depend on what else the machine does, and random places in the writing of files.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape.analysis.surfaces.measuring import Measurer
from landscape.cli import main
from landscape.errors import LandscapeError
from landscape.results import SurfaceResult
from landscape.storage.journal import Journal
from landscape.storage.loading import load

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

FILE, LOG, SAID = Path("results/mine.h5"), Path("computed.txt"), Path("said.txt")
MODEL = """
from torch import nn
def make():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
"""

Doom = Callable[[], None]  # called in a run before it begins; sees to its end


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A surface of a tiny network, whose batch size is not left to the clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("landscape.analysis.surfaces.evaluation.choose_batch_size", lambda *_: (100, 1e5))
    Path("mine.py").write_text(MODEL)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=generator)
    np.savez("mine.npz", train_inputs=x.numpy(), train_labels=(x[:, 0] > 0).long() + (x[:, 1] > 0.5).long())
    shapes = {"0.weight": (8, 6), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,)}
    torch.save({name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}, "mine.pt")
    return [
        *("surface", "mine.pt", "--model", "mine.py:make", "--data", "npz:mine.npz", "--subset", "all"),
        *("--precision", "float32", "--device", "cpu"),
    ]


# ---- ways to end


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after_processor_time(seconds: float) -> Doom:
    """The kernel ends the run; like SIGKILL, nothing of its own gets to run."""
    return lambda: signal.setitimer(signal.ITIMER_VIRTUAL, max(seconds, 1e-3)) and None


def in_a_record(number: int, share: float) -> Doom:
    """While the journal's n-th record is written, after a share of its bytes."""

    def doom() -> None:
        append, left = Journal.append, number

        def torn(self: Journal, record: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                file = self._file
                self._file = Torn(file, share)  # type: ignore[assignment]
            append(self, record)

        Journal.append = torn  # type: ignore[method-assign]

    return doom


class Torn:
    def __init__(self, file: Any, share: float) -> None:
        self.file, self.share = file, share

    def write(self, record: bytes) -> None:
        self.file.write(record[: round(self.share * len(record))])
        self.file.flush()
        be_killed()


def at_a_call(name: str, number: int, *, before: bool) -> Doom:
    """Before or after the n-th call of a method of `Path`: replace, unlink."""

    def doom() -> None:
        method, left = getattr(Path, name), number

        def last(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and before:
                be_killed()
            found = method(*arguments, **options)
            if left == 0:
                be_killed()
            return found

        setattr(Path, name, last)

    return doom


def drawn(chance: random.Random, seconds: float) -> Doom:
    """Return a random end of a run that takes this much processor time if nothing ends it."""
    kind = chance.randrange(5)
    if kind < 2:
        return after_processor_time(chance.uniform(0, seconds))
    if kind < 4:
        return in_a_record(chance.randint(1, 40), chance.random())
    return at_a_call(chance.choice(["replace", "unlink"]), chance.randint(1, 2), before=chance.random() < 0.5)


# ---- runs


def started(words: list[str], doom: Doom) -> int:
    """Start a command in a copy of this process and return its id; what it computes it notes down, then keeps."""
    LOG.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        log, rows = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND), Measurer.rows

        def noted(self: Measurer, done: Any) -> Any:
            found = rows(self, done)
            os.write(log, found.tobytes().hex().encode() + b"\n")
            return found

        Measurer.rows = noted  # type: ignore[method-assign]
        doom()
        main(words)
        code = 0
    finally:
        os._exit(code)


def ended(child: int) -> tuple[bool, float]:
    """Return whether the run came to its end and its processor time, having read the file all the while."""
    while not (found := os.wait4(child, os.WNOHANG))[0]:
        stored()
        time.sleep(0.005)
    status = found[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGVTALRM)
        return False, found[2].ru_utime
    assert os.WEXITSTATUS(status) == 0, SAID.read_text()
    return True, found[2].ru_utime


def stored(path: Path = FILE) -> set[bytes]:
    """Return the rows that a reader sees; none before there is a file, or where its result is still to come."""
    try:
        found = load(path).get("mine/plane")
    except LandscapeError as error:
        if "no such file" not in str(error):
            raise
        return set()
    assert found is None or isinstance(found, SurfaceResult)
    return set() if found is None else {row.tobytes() for row in found.points}


def computed(size: int) -> list[set[bytes]]:
    """Return the rows of every pass that a run made, in order."""
    passes = [bytes.fromhex(line) for line in LOG.read_text().split("\n")[:-1]] if LOG.exists() else []
    return [{rows[i : i + size] for i in range(0, len(rows), size)} for rows in passes]


@pytest.mark.parametrize(
    ("options", "runs"),
    [(("--points", "13x11"), 14), (("--points", "17x13", "--tolerance", "0.1"), 8)],
    ids=["exact", "tolerance"],
)
def test_kills_at_random_moments_lose_nothing(words: list[str], options: tuple[str, ...], runs: int) -> None:
    main([*words, "--points", "3", "--out", "first.h5"])  # loads what every run needs
    command = [*words, *options]
    whole, seconds = ended(started([*command, "--out", "undisturbed.h5"], lambda: None))
    assert whole
    expected = load("undisturbed.h5")["mine/plane"]
    assert isinstance(expected, SurfaceResult)
    assert (expected.attributes.get("tolerance") or {}).get("saving", 2) > 1.1  # it is really estimated
    size, chance = expected.points.itemsize, random.Random(len(options))

    def check_the_end() -> None:
        found = load(FILE)["mine/plane"]
        assert isinstance(found, SurfaceResult)
        assert found.complete
        assert found.points.tobytes() == expected.points.tobytes()
        assert found.attributes.get("tolerance") == expected.attributes.get("tolerance")
        assert not Path(f"{FILE}.journal").exists()

    dooms = [in_a_record(3, 0.5), in_a_record(9, 1.0), *(drawn(chance, seconds) for _ in range(runs))]
    killed = 0
    for doom in dooms:
        before = stored()
        whole, _ = ended(started(command, doom))
        after, passes = stored(), computed(size)
        assert before <= after
        assert all(rows <= after for rows in passes[:-1])  # all but the one in flight
        assert not any(rows & before for rows in passes)  # and none of them twice
        killed += not whole
        if whole:
            check_the_end()
            shutil.rmtree(FILE.parent)
    assert killed >= 2
    assert ended(started(command, lambda: None))[0]
    check_the_end()
