"""Users' own directions, from Python and from files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases.small_models import objective
from safetensors.torch import save_file

from landscape.analysis.objective.weights import flatten, norm
from landscape.analysis.planes import (
    plane_along,
    read_directions,
    user_direction,
)
from landscape.errors import LandscapeError


def test_a_users_vector_is_taken_as_it_is() -> None:
    found = objective()
    partial = user_direction(found, {"3.bias": np.array([1.0, 2.0, 3.0])}, name="mine")
    assert partial.vector["3.bias"].tolist() == [1, 2, 3]
    assert norm(partial.vector) == pytest.approx(math.sqrt(14))
    flat = torch.arange(found.size, dtype=torch.float64)
    whole = user_direction(found, flat)
    assert torch.equal(flatten(whole.vector), flat)
    assert plane_along(found, partial, whole).provenance["kind"] == "user"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ({"bias": torch.ones(3)}, "has 'bias', which is none of params"),
        ({"3.bias": torch.ones(4)}, r"3.bias of shape \(4,\); expected \(3,\)"),
        ({"3.bias": torch.tensor([0.0, math.nan, 1.0])}, "NaN or inf in 3.bias"),
        ({"3.bias": torch.zeros(3)}, "is zero in every parameter"),
        (torch.ones(7), r"shape \(7,\); expected \(53,\)"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused(vector: Any, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        user_direction(objective(), vector)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_directions_in_a_file(tmp_path: Path, suffix: str) -> None:
    found, path = objective(), tmp_path / f"mine{suffix}"
    entries = {
        "3.bias": np.ones(3, np.float32),
        "ours/3.bias": 2 * np.ones(3),
        "ours/0.bias": np.ones(5),
        "flat": np.arange(float(found.size)),
    }
    if suffix == ".npz":
        np.savez(path, **entries)
    else:
        save_file({name: torch.from_numpy(entry) for name, entry in entries.items()}, path)
    held = read_directions(path, found.origin)
    assert set(held) == {"mine", "ours", "flat"}
    vectors = {name: user_direction(found, vector).vector for name, vector in held.items()}
    assert vectors["mine"]["3.bias"].tolist() == [1, 1, 1]
    assert vectors["ours"]["0.bias"].tolist() == [1] * 5
    assert norm(vectors["ours"]) == pytest.approx(math.sqrt(17))
    assert vectors["flat"]["3.bias"].tolist() == [50, 51, 52]


def test_files_that_hold_no_directions_get_one_line(tmp_path: Path) -> None:
    objects = tmp_path / "objects.npz"
    np.savez(objects, a=np.array([{}], dtype=object))
    (tmp_path / "torn.safetensors").write_bytes(b"12345678abc")
    np.savez(tmp_path / "empty.npz")
    for name, message in {
        "none.npz": "no such file",
        "objects.npz": "holds objects",
        "torn.safetensors": "truncated",
        "empty.npz": "holds no arrays",
    }.items():
        with pytest.raises(LandscapeError, match=message):
            read_directions(tmp_path / name, {})
