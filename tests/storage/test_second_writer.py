"""Two writers of one file, because its lock file was removed, and what killed writers leave: nothing is lost."""

import dataclasses
from pathlib import Path

import filelock
import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError, StorageWarning
from landscape.storage.atomic_write import remove_temporaries
from landscape.storage.loading import load
from landscape.storage.lock import Lock
from landscape.storage.result_file import ResultFile

WHOLE = kinds.make.surface("a", nx=3, ny=3)
EMPTY = dataclasses.replace(WHOLE, points=WHOLE.points[:0])


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.put("a/line", kinds.make.line("a"))
    return path


def unlock(path: Path) -> None:
    """Remove the lock file that another process holds, as impatient people do."""
    path.with_name(f"{path.name}.lock").unlink()


def test_results_of_both_writers_are_kept(path: Path) -> None:
    with ResultFile(path) as first:
        unlock(path)
        with ResultFile(path) as second:
            second.put("b/line", kinds.make.line("b"))
        with pytest.warns(StorageWarning, match="another process stored b/line in .* meanwhile"):
            first.put("c/line", kinds.make.line("c"))
        first.put("d/line", kinds.make.line("d"))
    assert set(load(path)) == {"a/line", "b/line", "c/line", "d/line"}
    assert names(path.parent) == ["f.h5"]


def test_two_results_of_one_name_are_both_kept(path: Path) -> None:
    mine, theirs = kinds.make.spectrum("a"), kinds.make.spectrum("a", scale=2.0)
    with ResultFile(path) as first:
        unlock(path)
        with ResultFile(path) as second:
            second.put("a/hessian", theirs)
            second.put("b/hessian", mine)
        first.stage("b/hessian", mine)  # the same: once is enough
        with pytest.warns(StorageWarning, match="kept as a/hessian-2"):
            first.put("a/hessian", mine)
    results = load(path)
    assert set(results) == {"a/line", "a/hessian", "a/hessian-2", "b/hessian"}
    np.testing.assert_array_equal(results["a/hessian"].eigenvalues, mine.eigenvalues)  # type: ignore[union-attr]
    np.testing.assert_array_equal(results["a/hessian-2"].eigenvalues, theirs.eigenvalues)  # type: ignore[union-attr]


def test_a_writer_whose_journal_was_taken_over_stops_and_loses_no_point(path: Path) -> None:
    with ResultFile(path) as first:
        first.begin("a/plane", EMPTY)
        first.append(WHOLE.points[:8])
        unlock(path)
        with ResultFile(path) as second:
            with pytest.raises(LandscapeError, match="another process took over"):
                first.append(WHOLE.points[8:12])
            assert len(second.results["a/plane"].points) == 8  # type: ignore[union-attr]
            second.begin("a/plane", second.results["a/plane"])  # type: ignore[arg-type]
            first.put("a/plane", WHOLE)  # whole all the same
            second.append(WHOLE.points[8:16])
    found = load(path)["a/plane"]
    np.testing.assert_array_equal(np.sort(found.points), np.sort(WHOLE.points))  # type: ignore[union-attr]
    assert found.complete  # type: ignore[union-attr]


def test_a_file_that_was_removed_while_open_is_written_again(path: Path) -> None:
    with ResultFile(path) as file:
        path.unlink()
        file.put("b/line", kinds.make.line("b"))
    assert set(load(path)) == {"a/line", "b/line"}


def test_writers_that_only_read_leave_no_lock_file(path: Path) -> None:
    with ResultFile(path):
        assert names(path.parent) == ["f.h5", "f.h5.lock"]
    assert names(path.parent) == ["f.h5"]


def test_lock_and_temporary_files_of_killed_writers_are_removed(path: Path) -> None:
    for name in ("f.h5.lock", ".f.h5.0123456789ab.tmp", ".f.h5.ba9876543210.tmp"):
        path.with_name(name).touch()
    others = [".g.h5.0123456789ab.tmp", ".f.h5.mine.tmp", ".f.h50123456789ab.tmp"]
    for name in others:
        path.with_name(name).touch()
    with ResultFile(path):
        pass
    assert names(path.parent) == sorted([*others, "f.h5"])


def test_temporary_files_of_long_names_are_of_one_file_alone(tmp_path: Path) -> None:
    from landscape.storage.atomic_write import _temporary_stem

    long, other = tmp_path / ("ö" * 110), tmp_path / ("ö" * 109 + "x")
    stale, others = (f"{_temporary_stem(path)}0123456789ab.tmp" for path in (long, other))
    assert len(stale.encode()) <= 255
    assert stale != others
    for name in (stale, others):
        (tmp_path / name).touch()
    remove_temporaries(long)
    assert names(tmp_path) == [others]


def test_a_lock_on_a_removed_file_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race of removing lock files: one that was opened before, and locked after, its removal."""
    path, acquire, times = tmp_path / "f.lock", filelock.FileLock.acquire, []

    def late(self: filelock.FileLock, *arguments: object, **options: object) -> object:
        result = acquire(self, *arguments, **options)  # type: ignore[arg-type]
        times.append(1)
        if len(times) == 1:
            path.unlink()  # by the process that held the lock before
        return result

    monkeypatch.setattr(filelock.FileLock, "acquire", late)
    lock = Lock(path)
    lock.acquire()
    assert len(times) == 2
    with pytest.raises(filelock.Timeout):
        Lock(path).acquire()
    lock.release()
    assert names(tmp_path) == []


def test_a_lock_file_of_another_process_stays(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "f.lock"), Lock(tmp_path / "f.lock")
    first.acquire()
    (tmp_path / "f.lock").unlink()
    second.acquire()
    first.release()
    assert names(tmp_path) == ["f.lock"]
    second.release()
    assert names(tmp_path) == []
