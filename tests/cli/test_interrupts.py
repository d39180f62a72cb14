"""Ctrl-C at any moment, any number of times: exit 130, and one line with the command that resumes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from landscape.cli.terminal import interrupts, live_server
from landscape.results import SurfaceResult
from landscape.storage.loading import load

SAID = "stopped; what was finished is kept. To go on: landscape"
DRIVER = """
import atexit, os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children would ignore it


def press():
    os.kill(os.getpid(), signal.SIGINT)


class Pressing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == module:
            press()


class AtTheEnd:
    def __del__(self):
        press()


at_the_end = AtTheEnd()  # while the interpreter clears its modules
from landscape.cli.main import main

sys.meta_path.insert(0, Pressing())
module = sys.argv[1]
sys.argv[:2] = ["landscape"]
try:
    main()
finally:
    press()
    atexit.register(press)
"""


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def not_ignored():
    """Let this process take SIGINT, as it may not where it was started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("module", ["rich", "tyro", "numpy", "h5py", "torch"])
def test_during_imports_and_again_until_the_process_is_gone(tmp_path: Path, module: str) -> None:
    words = ["info", "my nope.pt"] if module in ("rich", "tyro") else ["surface", "my nope.pt"]
    (tmp_path / "driver.py").write_text(DRIVER)
    done = subprocess.run(
        [sys.executable, "driver.py", module, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == f"{SAID} {words[0]} 'my nope.pt'\n"
    assert (done.returncode, done.stdout) == (130, "")


def test_again_and_again_during_the_last_write(run, pair, monkeypatch) -> None:
    words = ("surface", pair.sam, *pair.data, "--points", "3", "--precision", "float32")
    fsync = os.fsync

    def pressed(descriptor: int) -> None:
        try:
            press()
        finally:
            press()
            press()
            fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", pressed)
        outcome = run(*words)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1].startswith(f"{SAID} surface ")
    assert outcome.err.count(SAID) == 1
    assert run(*words).code == 0
    found = load("results/sam.h5")["sam/plane"]
    assert isinstance(found, SurfaceResult)
    assert found.complete


def test_what_a_library_makes_of_the_exception_is_an_interruption_too(run, pair, monkeypatch) -> None:
    def fails(self: object) -> None:
        try:
            press()
        except KeyboardInterrupt as error:
            raise ImportError("numpy failed to import") from error

    monkeypatch.setattr("landscape.cli.commands.surface.SurfaceCommand.run", fails)
    outcome = run("surface", pair.sam)
    assert outcome.code == 130
    assert outcome.err.startswith(SAID)


def test_a_late_press_ends_what_held_the_first_one_up(monkeypatch, capsys) -> None:
    clock, ends = [0.0], []
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(interrupts.os, "_exit", ends.append)
    interrupts.remember(["info", "a b.pt"])
    pressed = interrupts.Interrupts()
    with pytest.raises(KeyboardInterrupt):
        pressed(signal.SIGINT, None)
    clock[0] = 0.9 * interrupts.PATIENCE
    pressed(signal.SIGINT, None)
    assert (pressed.seen, ends) == (True, [])
    clock[0] = interrupts.PATIENCE
    pressed(signal.SIGINT, None)
    assert ends == [130]
    assert capsys.readouterr().err == f"{SAID} info 'a b.pt'\n"


def test_the_watching_server_stops_in_order_however_often_it_is_pressed(run, tmp_path, monkeypatch) -> None:
    class Ending(live_server.Watched):
        def end(self) -> None:
            press()
            super().end()
            press()

    monkeypatch.setattr(live_server, "Watched", Ending)
    monkeypatch.setattr(live_server, "follow", lambda *_, **__: press())
    outcome = run("report", "nope.h5", "--watch")
    assert outcome.code == 0
    assert outcome.err.splitlines()[-1] == "stopped watching"
    assert "Traceback" not in outcome.err


def test_a_caller_s_own_handler_is_put_back(run) -> None:
    before = signal.getsignal(signal.SIGINT)
    run("info", "nope.pt")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_background_job_goes_on_ignoring_it(run, monkeypatch) -> None:
    def pressed(self: object) -> None:
        press()

    monkeypatch.setattr("landscape.cli.commands.info.InfoCommand.run", pressed)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert run("info", "nope.pt").code == 0
