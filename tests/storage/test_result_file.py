import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.errors import LandscapeError
from landscape.results import (
    HistoryResult,
    LineResult,
    MeasureResult,
    Result,
    SharpnessResult,
    SpectrumResult,
    SurfaceResult,
    points_table,
)
from landscape.storage.journal import Journal, read_journal
from landscape.storage.loading import is_analysis_file, load
from landscape.storage.result_file import ResultFile


def surface(nx: int = 5, ny: int = 3, *, keep: int | None = None) -> SurfaceResult:
    alpha, beta = np.linspace(-1, 1, nx), np.linspace(-2, 2, ny)
    rows = [
        (a, b, s, m, 10 * s + m + a + 100 * b, 0.5, 7, 0)
        for b in beta
        for a in alpha
        for s in range(2)
        for m in range(2)
    ]
    rows = rows[: None if keep is None else 4 * keep]
    return SurfaceResult(alpha, ("train", "test"), ("loss", "accuracy"), points_table(rows), {"checkpoint": "a"}, beta)


def same(a: Result, b: Result) -> None:
    assert a.kind == b.kind
    assert dict(a.attributes) == dict(b.attributes)
    if isinstance(a, LineResult | SurfaceResult) and isinstance(b, LineResult | SurfaceResult):
        assert (a.splits, a.metrics, a.complete) == (b.splits, b.metrics, b.complete)
        for column in a.points.dtype.names:
            np.testing.assert_array_equal(np.sort(a.points)[column], np.sort(b.points)[column])
    elif isinstance(a, SpectrumResult) and isinstance(b, SpectrumResult):
        for name in ("eigenvalues", "ends", "residuals", "bounds", "converged", "products"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    elif isinstance(a, HistoryResult) and isinstance(b, HistoryResult):
        assert {k: list(v) for k, v in a.columns.items()} == {k: list(v) for k, v in b.columns.items()}
    else:
        assert repr(a) == repr(b)


RESULTS: dict[str, Result] = {
    "a/plane": surface(),
    "a/line": LineResult(
        np.array([-1.0, 0.0, 1.0]), ("train",), ("loss",), points_table([(0, 0, 0, 0, np.inf, np.nan, 4, 0)]), {}
    ),
    "a/hessian": SpectrumResult(
        np.array([3.0, -1.0]),
        np.array([1, -1], dtype=np.int8),
        np.array([0.1, 0.2]),
        np.array([0.1, 0.2]),
        np.array([True, False]),
        9,
    ),
    "a/sharpness": SharpnessResult(
        (MeasureResult("sam", "SAM, ρ = 0.05", 0.5, np.nan, "…", 3, {"rho": 0.05}, {"samples": [0.25, np.inf]}),),
        {"nested": {"x": [1, None]}},
    ),
    "b/history": HistoryResult(
        {"epoch": np.array([1.0, 2.0]), "train_loss": np.array([0.5, np.nan])}, {"checkpoint": "b\0\udcff"}
    ),
}


def test_every_kind_of_result_survives_the_round_trip(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "f.h5") as file:
        for name, result in RESULTS.items():
            file.put(name, result)
    found = load(tmp_path / "f.h5")
    assert list(found) == list(RESULTS)
    for name in list(RESULTS)[:4]:
        same(found[name], RESULTS[name])
    np.testing.assert_array_equal(found["b/history"].columns["train_loss"], [0.5, np.nan])  # type: ignore[union-attr]


def test_xarray_opens_a_surface_with_named_axes(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "f.h5") as file:
        file.put("a/plane", surface())
    data = xarray.open_dataset(tmp_path / "f.h5", engine="h5netcdf", group="a/plane")
    assert data["loss"].dims == ("split", "y", "x")
    assert data["loss"].shape == (2, 3, 5)
    assert data["computed"].dtype == bool
    assert float(data["loss"].sel(split="test", x=-1.0, y=2.0)) == 10 - 1 + 200
    assert data.attrs["checkpoint"] == "a"
    data.close()


@settings(max_examples=20, deadline=None)
@given(nx=st.integers(1, 6), ny=st.integers(1, 6))
def test_grids_of_any_shape_keep_their_orientation(nx: int, ny: int) -> None:
    made = surface(nx, ny)
    a, b = np.meshgrid(made.alpha, made.beta)  # (Y, X)
    np.testing.assert_array_equal(made.grid("accuracy")[1], 11 + a + 100 * b)


def test_a_killed_writer_loses_no_finished_point(tmp_path: Path) -> None:
    whole, path = surface(), tmp_path / "f.h5"
    script = (
        "import sys, os; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from test_result_file import surface; from landscape.storage.result_file import ResultFile\n"
        "import dataclasses; whole = surface()\n"
        "with ResultFile(Path(sys.argv[1])) as file:\n"
        "    file.begin('a/plane', dataclasses.replace(whole, points=whole.points[:0]))\n"
        "    for i in range(6): file.append(whole.points[4 * i : 4 * i + 4])\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path), str(Path(__file__).parent)], check=False)
    journal = path.with_name("f.h5.journal")
    with journal.open("ab") as torn:
        torn.write(b"0badc0de [[0.5,")  # the point in flight
    found = load(path)["a/plane"]
    assert isinstance(found, SurfaceResult)
    assert int(found.computed().sum()) == 6
    np.testing.assert_array_equal(np.sort(found.points), np.sort(whole.points[:24]))
    with ResultFile(path) as file:  # the next writer moves them into the file
        same(file.results["a/plane"], found)
    assert not journal.exists()
    same(load(path)["a/plane"], found)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 400))
def test_a_journal_cut_anywhere_gives_back_its_whole_records(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        with Journal(path, {"header": 1}) as journal:
            for i in range(10):
                journal.append([[i, float("nan"), 0.1 + i]])
        content = path.read_bytes()
        path.write_bytes(content[:cut])
        complete = content[:cut].count(b"\n")
        found = read_journal(path)
        assert (0 if found is None else 1 + len(found[1])) == complete


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        ResultFile(tmp_path / "f.h5"),
        pytest.raises(LandscapeError, match="another process"),
        ResultFile(tmp_path / "f.h5"),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"not hdf5 at all", "damaged"), (None, "no such file")],
)
def test_unreadable_files_are_refused_in_one_line_and_kept(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "f.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LandscapeError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    if content is not None:
        with pytest.raises(LandscapeError, match=message), ResultFile(path):
            pass
        assert path.read_bytes() == content


def test_a_truncated_and_a_foreign_hdf5_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.put("a/plane", surface())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(LandscapeError, match="truncated"):
        load(path)
    with h5py.File(tmp_path / "g.h5", "w") as foreign:
        foreign["x"] = 1
    with pytest.raises(LandscapeError, match="not a landscape analysis file"):
        load(tmp_path / "g.h5")


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.put("a/plane", surface())
        before = path.read_bytes()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LandscapeError, match="No space left"):
            file.put("a/line", RESULTS["a/line"])
    assert path.read_bytes() == before


def test_a_folder_is_refused_and_a_file_in_the_place_of_one(tmp_path: Path) -> None:
    with pytest.raises(LandscapeError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(LandscapeError, match="is a folder"), ResultFile(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(LandscapeError, match="file is a file, not a folder"), ResultFile(tmp_path / "file" / "f.h5"):
        pass


def test_other_results_can_be_put_while_a_surface_is_filled(tmp_path: Path) -> None:
    path, whole = tmp_path / "f.h5", surface()
    with ResultFile(path) as file:
        file.begin("a/plane", dataclasses.replace(whole, points=whole.points[:0]))
        file.append(whole.points[:8])
        file.put("a/hessian", RESULTS["a/hessian"])
        file.append(whole.points[8:16])
        np.testing.assert_array_equal(np.sort(load(path)["a/plane"].points), np.sort(whole.points[:16]))  # type: ignore[union-attr]
        file.begin("b/plane", dataclasses.replace(whole, points=whole.points[:4]))
        file.remove("a/hessian")
    found = load(path)
    assert set(found) == {"a/plane", "b/plane"}
    np.testing.assert_array_equal(np.sort(found["a/plane"].points), np.sort(whole.points[:16]))  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.sort(found["b/plane"].points), np.sort(whole.points[:4]))  # type: ignore[union-attr]


def test_what_is_staged_is_written_with_the_next_result(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.stage("b/history", RESULTS["b/history"])
        assert not path.exists()
        assert not file.written
        file.put("a/line", RESULTS["a/line"])
        assert file.written
    assert set(load(path)) == {"a/line", "b/history"}


def test_a_kill_between_replacing_the_file_and_dropping_the_journal_costs_nothing(tmp_path: Path) -> None:
    path, rows = tmp_path / "f.h5", surface().points.copy()
    rows["value"][0], rows["stderr"][0] = -np.nan, np.nan  # JSON knows one NaN, floats have many
    whole = dataclasses.replace(surface(), points=rows)
    journal = path.with_name("f.h5.journal")
    with ResultFile(path) as file:
        file.begin("a/plane", dataclasses.replace(whole, points=rows[:0]))
        file.append(rows[:8])
        left = journal.read_bytes()
        file.put("a/plane", whole)
    journal.write_bytes(left)
    assert len(load(path)["a/plane"].points) == len(rows)  # type: ignore[union-attr]


def test_a_result_begun_anew_under_its_name_is_what_readers_see(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.put("a/plane", surface())
        other = surface(3, 3)
        file.begin("a/plane", dataclasses.replace(other, points=other.points[:0]))
        assert load(path)["a/plane"].shape == (3, 3)  # type: ignore[union-attr]
        file.append(other.points[:4])
    found = load(path)["a/plane"]
    assert isinstance(found, SurfaceResult)
    assert int(found.computed().sum()) == 1


def test_a_journal_whose_header_is_torn_is_no_file(tmp_path: Path) -> None:
    journal = tmp_path / "f.h5.journal"
    journal.write_bytes(b"0badc0de {")
    with pytest.raises(LandscapeError, match="no such file"):
        load(tmp_path / "f.h5")
    with ResultFile(tmp_path / "f.h5") as file:
        assert file.results == {}
    assert not journal.exists()


@pytest.mark.parametrize("name", ["plane", "a/", "/plane", "a/..", "a/b\0c", "\udcff/plane", "a/line/plane", "a//b"])
def test_names_that_would_lose_a_result_are_refused(tmp_path: Path, name: str) -> None:
    with ResultFile(tmp_path / "f.h5") as file:
        file.put("a/line", RESULTS["a/line"])
        with pytest.raises(LandscapeError, match="cannot be named"):
            file.put(name, RESULTS["a/hessian"])
    assert set(load(tmp_path / "f.h5")) == {"a/line"}


def test_large_attributes_survive(tmp_path: Path) -> None:
    classes = [f"class {number}" for number in range(20_000)]  # HDF5 keeps attributes above 64 kB elsewhere
    with ResultFile(tmp_path / "f.h5") as file:
        file.put(
            "a/plane", dataclasses.replace(surface(), attributes={"data": {"classes": classes}, "text": "x" * 10**5})
        )
    attributes = load(tmp_path / "f.h5")["a/plane"].attributes
    assert attributes["data"]["classes"] == classes
    assert len(attributes["text"]) == 10**5


def test_is_analysis_file(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "f.h5") as file:
        file.put("a/plane", surface())
    (tmp_path / "g.h5").write_bytes(b"garbage")
    assert is_analysis_file(tmp_path / "f.h5")
    assert not is_analysis_file(tmp_path / "g.h5")
    assert not is_analysis_file(tmp_path / "h.h5")


def test_numpy_values_in_attributes_are_stored_as_plain_ones(tmp_path: Path) -> None:
    attributes = {
        "a": {"n": np.int64(3), "x": np.array([0.5, np.nan])},
        "flag": np.bool_(True),
        "b": MappingProxyType({"c": 1}),
    }
    made = dataclasses.replace(surface(), attributes=attributes)
    with ResultFile(tmp_path / "f.h5") as file:
        file.begin("a/plane", dataclasses.replace(made, points=made.points[:4]))
        file.put("b/plane", made)
    for found in load(tmp_path / "f.h5").values():
        assert found.attributes["a"]["n"] == 3
        assert found.attributes["a"]["x"] == pytest.approx([0.5, np.nan], nan_ok=True)
        assert found.attributes["flag"] is True
        assert found.attributes["b"] == {"c": 1}


def test_a_result_that_cannot_be_stored_is_not_in_the_way_of_others(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "f.h5") as file:
        file.begin("a/plane", dataclasses.replace(surface(), points=surface().points[:0]))
        with pytest.raises(TypeError, match="JSON-able, not object"):
            file.put("a/bad", dataclasses.replace(surface(), attributes={"x": object()}))
        file.append(surface().points[:4])
        file.put("a/line", RESULTS["a/line"])
    found = load(tmp_path / "f.h5")
    assert set(found) == {"a/plane", "a/line"}
    assert len(found["a/plane"].points) == 4  # type: ignore[union-attr]
