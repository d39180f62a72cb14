import errno
from pathlib import Path

import filelock
import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.results import LineResult, points_table
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

LINE = LineResult(np.array([0.0]), ("train",), ("loss",), points_table([(0, 0, 0, 0, 1, 0.1, 4, 0)]), {})


@pytest.fixture
def lockless_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: object, *args: object, **options: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)


def test_a_drive_without_locks_is_refused_with_the_variable_that_writes_there(
    tmp_path: Path, lockless_drive: None
) -> None:
    with pytest.raises(LandscapeError, match="No locks available; choose another --out, or set HDF5_USE_FILE"):
        ResultFile(tmp_path / "f.h5").__enter__()
    with ResultFile(tmp_path / "f.h5", lock=False) as file:
        file.put("a/line", LINE)
    assert list(load(tmp_path / "f.h5")) == ["a/line"]
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_a_full_disk_does_not_ask_for_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: object, *args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(LandscapeError, match=r"No space left on device; choose another --out$"):
        ResultFile(tmp_path / "f.h5").__enter__()


def test_without_a_lock_an_unwritable_folder_is_still_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LandscapeError, match="is a file, not a folder"):
        ResultFile(tmp_path / "file" / "f.h5", lock=False).__enter__()
