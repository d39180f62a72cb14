"""What the tests of the command line share: a pair of checkpoints on tiny data, and a way to run commands."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from landscape.cli import main
from landscape.storage.result_file import ResultFile


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command."""

    code: int
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """Check that it ended as an expected error does: exit 2 after one line that holds these words."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1, self.err
        for word in words:
            assert word in self.err, (word, self.err)


Run = Callable[..., Outcome]


@dataclass(frozen=True)
class Pair:
    """Two checkpoints trained for an epoch, and the data they were trained on."""

    sam: Path
    adam: Path
    npz: Path

    @property
    def data(self) -> tuple[str, str]:
        """The option that names the data."""
        return "--data", f"npz:{self.npz}"


def tiny_arrays() -> dict[str, np.ndarray]:
    """Return 64 train and 50 test images of handwritten digits, 8×8, as an npz data set."""
    digits = load_digits()
    images, labels = (digits.images * 15).astype(np.uint8)[..., None], digits.target
    return {
        "train_images": images[:64],
        "train_labels": labels[:64],
        "test_images": images[64:114],
        "test_labels": labels[64:114],
    }


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread, in subprocesses too: tiny layers gain nothing from more."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        with threadpool_limits(1):  # NumPy's and SciPy's
            yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def trained(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("trained")
    np.savez(folder / "tiny.npz", **tiny_arrays())
    options = ["--epochs", "1", "--batch-size", "32", "--precision", "float32", "--device", "cpu"]
    main(["train", "pair", "--data", f"npz:{folder / 'tiny.npz'}", *options, "--out", str(folder)])
    return Pair(folder / "resnet20-tiny-sam-s0.pt", folder / "resnet20-tiny-adam-s0.pt", folder / "tiny.npz")


@pytest.fixture
def pair(trained: Pair, tmp_path: Path) -> Pair:
    """Fresh copies, called sam.pt and adam.pt, in the test's own folder."""
    for source, name in ((trained.sam, "sam.pt"), (trained.adam, "adam.pt"), (trained.npz, "tiny.npz")):
        shutil.copy(source, tmp_path / name)
    return Pair(tmp_path / "sam.pt", tmp_path / "adam.pt", tmp_path / "tiny.npz")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in the test's own folder, within this process."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def interrupt(run: Run) -> Callable[..., Outcome]:
    """Run a surface command that Ctrl-C stops after some points."""

    def call(*words: object, after: int) -> Outcome:
        append, left = ResultFile.append, after

        def limited(self: ResultFile, points: np.ndarray) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            append(self, points)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ResultFile, "append", limited)
            return run(*words)

    return call
