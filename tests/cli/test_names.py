"""Names that cannot be (too long, no UTF-8, empty, pipes, devices), and options beyond the machine: one clear line."""

import os
import socket
import sys
from pathlib import Path

import pytest

from landscape.execution import limits

LONG = "x" * 300
NESTED = "[" * 5000 + "]" * 5000
TINY = ("--data", "npz:tiny.npz", "--points", "3", "--precision", "float32")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names of Unix")


@pytest.fixture
def folder(pair, tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.pt")
    for name in ("pipe.npz", "pipe.h5", "pipe.html"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "circle.pt").symlink_to("circle.pt")
    bound = socket.socket(socket.AF_UNIX)
    before = Path.cwd()
    os.chdir(tmp_path)  # a socket's path is short
    bound.bind("socket.h5")
    os.chdir(before)
    bound.close()
    (tmp_path / "quits.py").write_text(
        "import sys\nfrom torch import nn\n"
        "def data(): sys.exit(0)\n"
        "def loss(outputs, targets): sys.exit(0)\n"
        "def metric(outputs, targets): sys.exit()\n"
        "class Model(nn.Module):\n    def forward(self, x): sys.exit(0)\n"
    )
    (tmp_path / "quits_at_once.py").write_text("import sys\nsys.exit(0)\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["surface", f"{LONG}.pt", *TINY], ["File name too long"]),
        (["surface", "sam.pt", *TINY, "--out", f"{LONG}.h5"], ["File name too long"]),
        (["surface", "sam.pt", *TINY, "--out", f"{LONG}/a.h5"], ["File name too long"]),
        (["surface", "sam.pt", "--data", f"npz:{LONG}"], ["File name too long"]),
        (["surface", "sam.pt", "--data", f"folder:{LONG}"], ["File name too long"]),
        (["surface", "sam.pt", *TINY, "--loss", f"{LONG}.py:loss"], ["File name too long"]),
        (["train", "adam", "--out", f"{LONG}.pt"], ["File name too long"]),
        (["train", "adam", "--out", f"{'x' * 250}.pt"], ["File name too long"]),  # with .partial.lock
        (["report", f"{LONG}.h5"], ["File name too long"]),
        (["report", "--out", f"{LONG}.html"], ["File name too long"]),
        (["info", f"{LONG}.h5"], ["File name too long"]),
        (["surface", "sam\udcff.pt", *TINY], ["expected names in UTF-8, got 'sam\\\\udcff.pt'"]),
        (["surface", "sam.pt", *TINY, "--out", "r\udcff.h5"], ["expected names in UTF-8"]),
        (["train", "adam", "--data", "folder:\udcff"], ["expected names in UTF-8"]),
        (["surface", "pipe.pt", *TINY], ["pipe.pt is a pipe; expected a file"]),
        (["surface", "/dev/zero", *TINY], ["/dev/zero is a device; expected a file"]),
        (["surface", "circle.pt", *TINY], ["cannot use circle.pt", "symbolic links"]),
        (["surface", "sam.pt", "--data", "npz:pipe.npz"], ["pipe.npz is a pipe"]),
        (["surface", "sam.pt", "--data", "npz:/dev/zero"], ["/dev/zero is a device"]),
        (["surface", "sam.pt", *TINY, "--out", "pipe.h5"], ["pipe.h5 is a pipe"]),
        (["surface", "sam.pt", *TINY, "--out", "/dev/null"], ["/dev/null is a device"]),
        (["train", "adam", "--out", "pipe.pt"], ["pipe.pt is a pipe"]),
        (["report", "pipe.h5"], ["pipe.h5 is a pipe"]),
        (["report", "socket.h5"], ["socket.h5 is a socket"]),
        (["report", "--out", "pipe.html"], ["pipe.html is a pipe"]),
        (["export", "/dev/zero"], ["/dev/zero is a device"]),
        (["info", "pipe.pt"], ["pipe.pt is a pipe"]),
        (["info", "/dev/zero"], ["/dev/zero is a device"]),
        (["info", ""], ["got an empty one"]),
        (["surface", "", *TINY], ["got an empty one"]),
        (["surface", "sam.pt", *TINY, "--out", ""], ["got an empty one"]),
        (["train", "adam", "--out", ""], ["got an empty one"]),
        (["train", "pair", "--out", ""], ["got an empty one"]),
        (["export", "pipe.pt", "--out", ""], ["pipe.pt is a pipe"]),
        (["surface", "sam.pt", "--model", "resnet20", "--model-args", NESTED], ["--model-args nested 5000 deep"]),
        (["train", "adam", "--model-args", NESTED], ["--model-args nested 5000 deep"]),
        (["surface", "sam.pt", *TINY, "--device", "meta"], ["device 'meta' cannot be used here"]),
        (["train", "adam", "--data", "npz:tiny.npz", "--batch-size", "8", "--device", "meta"], ["device 'meta'"]),
        (["surface", "sam.pt", "--data", "quits:data"], ["quits:data failed: SystemExit"]),
        (["surface", "sam.pt", *TINY, "--loss", "quits:loss"], ["sys.exit(0)"]),
        (["surface", "sam.pt", *TINY, "--metrics", "quits:metric"], ["sys.exit(None)"]),
        (["surface", "sam.pt", *TINY, "--loss", "quits_at_once:loss"], ["quits_at_once failed: SystemExit"]),
    ],
    ids=lambda words: " ".join(words)[:60].encode("ascii", "replace").decode() if isinstance(words, list) else None,
)
def test_a_name_that_cannot_be_is_one_clear_line(run, folder, words: list[str], said: list[str]) -> None:
    run(*words).refused(*said)
    assert (folder / "pipe.h5").is_fifo()  # nothing is replaced


def test_more_workers_than_the_machine_can_run_are_fewer(run, folder, monkeypatch) -> None:
    seen = []

    def open_workers(workers, *_, **__):
        seen.append(workers)
        raise KeyboardInterrupt

    monkeypatch.setattr("landscape.cli.requests.execution.open_workers", open_workers)
    monkeypatch.setattr(limits, "usable_cores", lambda: 3)
    monkeypatch.setattr(limits, "available_bytes", lambda: 8e9)
    outcome = run("surface", "sam.pt", *TINY, "--workers", "500")
    assert "warning: got --workers 500, taking 3: this machine has 3 cores\n" in outcome.err
    monkeypatch.setattr(limits, "available_bytes", lambda: 1e9)
    outcome = run("surface", "sam.pt", *TINY, "--workers", "3", "--out", "other.h5")
    assert "got --workers 3, taking 2: this machine has 1.0 GB of free memory" in outcome.err
    assert seen == [3, 2]


def test_what_the_machine_has() -> None:
    assert limits.usable_cores() >= 1
    assert limits.available_bytes() > 1e6
    assert limits.affordable_workers(bytes_each=1e30)[0] in (1, limits.usable_cores())


def test_watching_where_the_page_cannot_be_written_is_refused(run, folder) -> None:
    (folder / "file").touch()
    run("report", "nope.h5", "--watch", "--out", "file/page.html").refused("cannot write file/page.html")
    if Path("/proc/self").is_dir():  # where not even root can make files
        run("report", "nope.h5", "--watch", "--out", "/proc/self/page.html").refused(
            "cannot write /proc/self/page.html"
        )


def test_a_full_disk_under_a_measurement_is_one_line_too(run, folder, monkeypatch) -> None:
    def full(self: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr("landscape.cli.commands.surface.SurfaceCommand.run", full)
    run("surface", "sam.pt").refused("/somewhere/file: No space left on device")
    assert not list(folder.glob("results/*"))
