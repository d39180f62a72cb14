"""Damaged files: no flipped bit is read as another number; the results it is not in stay readable."""

import dataclasses
import random
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from cases import kinds

from landscape.errors import LandscapeError, StorageWarning
from landscape.results import Result
from landscape.storage.integrity import check_text_heaps
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

NAMES = ("a/plane", "a/hessian", "a/sharpness", "b/history")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file of four kinds of results."""
    path = tmp_path_factory.mktemp("whole") / "f.h5"
    make = kinds.make
    with ResultFile(path) as file:
        file.stage("a/plane", make.surface("a", nx=5, ny=3))
        file.stage("a/hessian", make.spectrum("a"))
        file.stage("a/sharpness", make.sharpness("a"))
        file.put("b/history", make.history("b"))
    return path.read_bytes()


def bits(result: Result) -> list[object]:
    """Return everything that a result holds, to be compared bit for bit."""
    found: list[object] = []
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if field.name == "columns":
            found += [(name, column.tobytes()) for name, column in value.items()]
        else:
            found.append((field.name, value.tobytes() if isinstance(value, np.ndarray) else repr(value)))
    return found


def outcome(path: Path) -> tuple[dict[str, Result], str]:
    """Return the results of a file, and what was said of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            results = load(path)
        except LandscapeError as error:
            return {}, str(error)
    assert all(issubclass(one.category, StorageWarning) and "\n" not in str(one.message) for one in said)
    return results, " ".join(str(one.message) for one in said)


def test_no_flipped_bit_is_read_as_another_number(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    expected = {name: bits(result) for name, result in load(path).items()}
    assert set(expected) == set(NAMES)
    chance, named = random.Random(0), 0
    for _ in range(100):
        position = chance.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        results, said = outcome(path)
        for name in NAMES:
            if name in results:
                assert bits(results[name]) == expected[name], position
            else:
                assert name in said or f"cannot read {path}" in said or "not a landscape analysis file" in said
                named += 1
    assert named > 40


def changed(path: Path, name: str, dataset: str = "eigenvalues") -> None:
    """Change one number of a result."""
    with h5py.File(path, "r+") as file:
        file[name][dataset][0] += 1e-9


def test_a_damaged_result_is_named_and_the_others_are_read(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    changed(path, "a/hessian")
    results, said = outcome(path)
    assert set(results) == set(NAMES) - {"a/hessian"}
    assert f"a/hessian in {path} is left out: " in said


def test_a_result_that_is_missing_is_named(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.move("a/hessian", "a/other")
    results, said = outcome(path)
    assert set(results) == set(NAMES) - {"a/hessian"}
    assert "a/hessian" in said


def test_a_writer_keeps_the_file_with_damaged_results(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    changed(path, "a/hessian")
    before = path.read_bytes()
    file = ResultFile(path)
    with pytest.warns(StorageWarning, match="a/hessian"):
        file.__enter__()
    with pytest.warns(StorageWarning, match="the file with its damaged results is kept as"):
        file.put("a/line", kinds.make.line("a"))
    file.put("c/line", kinds.make.line("c"))
    file.__exit__(None, None, None)
    assert (tmp_path / "f.h5.damaged").read_bytes() == before
    assert set(load(path)) == {*NAMES, "a/line", "c/line"} - {"a/hessian"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f.h5", "f.h5.damaged"]


def test_a_file_without_a_readable_result_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.put("a/hessian", kinds.make.spectrum("a"))
    changed(path, "a/hessian")
    with pytest.raises(LandscapeError, match=r"cannot read any result of .*a/hessian"):
        load(path)


def test_a_heap_of_texts_whose_sizes_would_keep_hdf5_in_place_is_refused(whole: bytes, tmp_path: Path) -> None:
    check_text_heaps(whole)
    start = whole.index(b"GCOL")
    position, index = start + 16, 1
    while index:  # the free space comes last
        index = int.from_bytes(whole[position : position + 2], "little")
        size = int.from_bytes(whole[position + 8 : position + 16], "little")
        last, position = position, position + 16 + -(-size // 8) * 8
    damaged = bytearray(whole)
    damaged[last + 8 : last + 16] = bytes(8)
    (tmp_path / "f.h5").write_bytes(damaged)
    with pytest.raises(LandscapeError, match="damaged"):
        load(tmp_path / "f.h5")


def strip_digests(path: Path) -> None:
    """Make a file as versions before the digests wrote it."""
    with h5py.File(path, "r+") as file:
        del file.attrs["results"]
        for name in NAMES:
            del file[name].attrs["content_sha256"]
            del file[name].attrs["finished"]


def test_files_of_earlier_versions_are_read(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    expected = {name: bits(result) for name, result in load(path).items()}
    strip_digests(path)
    assert {name: bits(result) for name, result in load(path).items()} == expected


WRONG = {
    "checkpoints": ["a text", 3, {"label": "a"}, ["a", "b"]],
    "data": [[1, 2], "digits", {"notes": "one text"}, {"fingerprints": ["a"]}],
    "directions": [["random"], "random", {"hashes": 3}, {"parts": "x"}],
    "examples": [[5], 5, {"train": "many"}],
    "final": [0.5, {"test_loss": "low"}],
    "training": ["sam", {"seed": "zero"}],
    "seconds": ["long", [1.0], {"value": 1}],
    "tolerance": ["small", {"held_out": "many"}, {"levels": {}}],
    "regions": [{"alpha": [0, 1]}, [3], [{"tolerance": 0.1}]],
    "marks": [[{"label": "b"}], {"alpha": 1}, [{"alpha": "left", "beta": 0}]],
    "barrier": [[1.0], {"train": [0.1]}, {"train": {"loss": {"value": None}}}],
    "width": [{"rise": 0.1}, [{"rise": 0.1}], [{"rise": "x", "left": 1, "right": 1}]],
    "reference": ["ok", {"reproduced": "yes"}],
    "subsets": [3, {"count": 2}],
    "created": [5, ["2026"]],
    "settings": ["all", [1]],
}


@pytest.mark.parametrize(("attribute", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_attributes_of_another_type_are_named(attribute: str, value: object, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    strip_digests(path)
    plane = load(path)["a/plane"]
    wrong = dataclasses.replace(plane, attributes={**plane.attributes, attribute: value})
    with (
        pytest.raises(LandscapeError, match=rf"expected attribute {attribute}.* got "),
        ResultFile(tmp_path / "new.h5") as new,
    ):
        new.put("a/plane", wrong)
    with pytest.MonkeyPatch.context() as patch:  # as another program would
        patch.setattr("landscape.storage.result_file.check_attributes", lambda _: None)
        with ResultFile(path) as file:
            file.put("a/plane", wrong)
    results, said = outcome(path)
    assert set(results) == set(NAMES) - {"a/plane"}
    assert f"a/plane in {path} is left out: expected attribute {attribute}" in said


@pytest.mark.parametrize("value", ["{torn", "[" * 5000, b"\xff\xfe", 5, np.arange(3)])
def test_attributes_that_are_no_json_are_named(value: object, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    strip_digests(path)
    with h5py.File(path, "r+") as file:
        file["a/plane"].attrs["data"] = value
    results, said = outcome(path)
    assert set(results) == set(NAMES) - {"a/plane"}
    assert "a/plane" in said


@pytest.mark.parametrize(
    ("name", "dataset", "shape"),
    [
        ("a/plane", "loss", (3,)),
        ("a/plane", "computed", (4, 4)),
        ("a/hessian", "bounds", (2,)),
        ("a/sharpness", "value", (1,)),
        ("b/history", "train_loss", (2,)),
    ],
)
def test_arrays_of_another_shape_are_named(
    name: str, dataset: str, shape: tuple[int, ...], whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(whole)
    strip_digests(path)
    with h5py.File(path, "r+") as file:
        del file[name][dataset]
        file[name][dataset] = np.zeros(shape)
    results, said = outcome(path)
    assert set(results) == set(NAMES) - {name}
    assert name in said
