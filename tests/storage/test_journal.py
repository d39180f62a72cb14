"""Journals that are damaged or of another program never stand in the way of the file they lie beside."""

import dataclasses
import json
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import kinds

from landscape.errors import StorageWarning
from landscape.results import SurfaceResult
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

WHOLE = kinds.make.surface("a", nx=3, ny=3)
HEADER: dict[str, Any] = {
    "name": "a/plane",
    "kind": "surface",
    "alpha": WHOLE.alpha.tolist(),
    "beta": WHOLE.beta.tolist(),
    "splits": list(WHOLE.splits),
    "metrics": list(WHOLE.metrics),
    "attributes": dict(WHOLE.attributes),
}
ROWS = [list(row) for row in WHOLE.points.tolist()]
RECORD = {"rows": ROWS[:4], "seconds": 1.5}


def line(value: object) -> bytes:
    payload = json.dumps(value).encode()
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def raw(payload: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def row(**changes: object) -> dict[str, object]:
    names = WHOLE.points.dtype.names
    return {"rows": [[changes.get(name, value) for name, value in zip(names, ROWS[0], strict=True)]], "seconds": 1.0}


BAD_HEADERS: dict[str, object] = {
    "a list": [1, 2],
    "a number": 5,
    "nothing": None,
    "a text": "surface",
    **{f"no {key}": {name: value for name, value in HEADER.items() if name != key} for key in HEADER},
    "a name that is no text": {**HEADER, "name": 5},
    "a name without a checkpoint": {**HEADER, "name": "plane"},
    "a name inside another result": {**HEADER, "name": "a/line/plane"},
    "a name of a result of another kind": {**HEADER, "name": "a/hessian"},
    "an unknown kind": {**HEADER, "kind": "hologram"},
    "a surface without beta": {**HEADER, "beta": None},
    "an axis of texts": {**HEADER, "alpha": ["a", "b", "c"]},
    "an axis that descends": {**HEADER, "alpha": [1, 0, -1]},
    "an axis with NaN": {**HEADER, "alpha": [0, float("nan"), 1]},
    "an axis beyond floats": {**HEADER, "alpha": [0, 10**400]},
    "no axis": {**HEADER, "alpha": []},
    "an axis that is a number": {**HEADER, "alpha": 3},
    "splits that are a text": {**HEADER, "splits": "train"},
    "one split twice": {**HEADER, "splits": ["train", "train"]},
    "no metrics": {**HEADER, "metrics": []},
    "attributes as a list": {**HEADER, "attributes": [1]},
    "an attribute of another type": {**HEADER, "attributes": {"checkpoints": "a"}},
}
BAD_RECORDS: dict[str, object] = {
    "a number": 5,
    "a text": "rows",
    "nothing": None,
    "a mapping of other names": {"points": []},
    "rows of one number": [[1.0]],
    "rows that are numbers": [1.0, 2.0],
    "rows of texts": [["a"] * 8],
    "a split beyond the last": row(split=7),
    "a negative metric": row(metric=-1),
    "a split that is no whole number": row(split=0.5),
    "a coordinate that is NaN": row(alpha=float("nan")),
    "a value that is a text": row(value="high"),
    "a value that is a truth": row(value=True),
    "a value beyond floats": row(value=10**400),
    "a count beyond integers": row(n=2**70),
    "a level beyond integers": row(level=2**20),
    "seconds that are a text": {"rows": ROWS[:4], "seconds": "long"},
    "negative seconds": {"rows": ROWS[:4], "seconds": -1},
}
BYTES: dict[str, bytes] = {
    "binary": bytes(range(256)) * 20,
    "lines of text": b"alpha,beta\n1,2\n",
    "a checksum that differs": b"00000000" + line(HEADER)[8:],
    "no JSON": raw(b"{torn"),
    "no UTF-8": raw(b"\xff\xfe"),
    "nested too deep": raw(b"[" * 100_000),
    "empty lines": b"\n\n\n",
}
UNUSABLE = {
    **{f"header: {name}": line(header) + line(RECORD) for name, header in BAD_HEADERS.items()},
    **{f"bytes: {name}": content for name, content in BYTES.items()},
}
PARTLY = {
    **{f"record: {name}": line(HEADER) + line(RECORD) + line(record) for name, record in BAD_RECORDS.items()},
    "record: a checksum that differs": line(HEADER) + line(RECORD) + b"x" + line(RECORD)[1:] + line(RECORD),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file, in which a surface was begun, without its journal."""
    path = tmp_path / "f.h5"
    with ResultFile(path) as file:
        file.stage("a/line", kinds.make.line("a"))
        file.stage("a/hessian", kinds.make.spectrum("a"))
        file.stage("a/plane", dataclasses.replace(WHOLE, points=WHOLE.points[:0], finished=False))
        file.put("b/line", kinds.make.line("b"))
    return path


def journal(path: Path) -> Path:
    return path.with_name("f.h5.journal")


def points(path: Path) -> int:
    found = load(path)["a/plane"]
    assert isinstance(found, SurfaceResult)
    return len(found.points)


@pytest.mark.parametrize("content", [*UNUSABLE.values(), *PARTLY.values()], ids=[*UNUSABLE, *PARTLY])
def test_a_bad_journal_is_set_aside_and_the_file_is_read(content: bytes, path: Path) -> None:
    journal(path).write_bytes(content)
    usable = 4 if content in PARTLY.values() else 0
    with pytest.warns(StorageWarning, match=r"f\.h5\.journal is damaged or of another program: ") as said:
        assert points(path) == usable
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert journal(path).read_bytes() == content  # a reader changes nothing
    with pytest.warns(StorageWarning, match=r"renamed it to f\.h5\.journal\.damaged$"), ResultFile(path) as file:
        assert set(file.results) == {"a/line", "a/hessian", "a/plane", "b/line"}
    assert journal(path).with_name("f.h5.journal.damaged").read_bytes() == content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert points(path) == usable
        assert set(load(path)) == {"a/line", "a/hessian", "a/plane", "b/line"}


def test_journals_of_a_folder_or_a_second_bad_one_are_set_aside_too(path: Path) -> None:
    for name in ("f.h5.journal.damaged", "f.h5.journal.damaged-2"):
        journal(path).mkdir()
        with pytest.warns(StorageWarning, match="it is no file; renamed"), ResultFile(path):
            pass
        assert path.with_name(name).is_dir()


def test_a_journal_never_replaces_a_finished_result(path: Path) -> None:
    with ResultFile(path) as file:
        file.put("a/plane", WHOLE)
    journal(path).write_bytes(line(HEADER) + line(row(value=9.0)))
    with pytest.warns(StorageWarning, match="it has other points of a/plane, which is finished"):
        found = load(path)["a/plane"]
    np.testing.assert_array_equal(np.sort(found.points), np.sort(WHOLE.points))  # type: ignore[union-attr]


def test_the_seconds_of_a_stopped_run_are_kept(path: Path) -> None:
    header = {**HEADER, "attributes": {**HEADER["attributes"], "seconds": 10.0}}
    journal(path).write_bytes(line(header) + line(RECORD) + line({"rows": ROWS[4:8], "seconds": 2.5}))
    assert load(path)["a/plane"].attributes["seconds"] == 12.5


def test_all_points_without_what_is_derived_from_them_are_not_finished(path: Path) -> None:
    with ResultFile(path) as file:
        file.begin("a/plane", WHOLE)  # stopped here
    found = load(path)["a/plane"]
    assert isinstance(found, SurfaceResult)
    assert found.computed().all()
    assert not found.finished
    assert not found.complete
    with ResultFile(path) as file:
        file.begin("a/plane", found)
        file.put("a/plane", WHOLE)
    assert load(path)["a/plane"].complete  # type: ignore[union-attr]
