"""Files of version 0.1.0, read number by number as h5py sees them; the shipped files, in the present layout."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import landscape
from landscape.results import Result
from landscape.storage.integrity import DIGEST
from landscape.storage.loading import load, read_contents

OLD = Path(__file__).with_name("version_0_1_0.h5")
SHIPPED = sorted((Path(landscape.__file__).parent.parent / "figures").glob("*.h5"))
MODEL, SMALL = "resnet20-cifar10-adam", "resnet20-cifar10-10k-adam-s0"


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load(OLD)


def test_an_old_file_has_no_digests_and_is_read_whole(results: dict[str, Result]) -> None:
    kinds = {name.rpartition("/")[2]: result.kind for name, result in results.items()}
    assert kinds == {
        "history": "history",
        "hessian": "spectrum",
        "sharpness": "sharpness",
        "density-1000-density": "density",
        "modes": "line",
        "trajectory": "trajectory",
        "pca": "surface",
    }
    with h5py.File(OLD) as file:
        for name, result in results.items():
            assert not {DIGEST, "finished"} & set(file[name].attrs)
            assert result.finished
            assert result.attributes["checkpoint"] == file[name].attrs["checkpoint"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (f"{MODEL}/hessian", ["eigenvalues", "ends", "residuals", "bounds"]),
        (f"{MODEL}/density-1000-density", ["eigenvalue", "density", "stderr", "nodes", "weights"]),
        (f"{SMALL}/trajectory", ["alpha", "beta", "position", "residuals", "distances", "explained"]),
    ],
)
def test_old_arrays_are_read_unchanged(results: dict[str, Result], name: str, fields: list[str]) -> None:
    with h5py.File(OLD) as file:
        for field in fields:
            np.testing.assert_array_equal(getattr(results[name], field), file[name][field][()], err_msg=field)
        if "products" in file[name].attrs:
            assert results[name].products == file[name].attrs["products"]


def test_old_grids_columns_and_measures_are_read_unchanged(results: dict[str, Result]) -> None:
    with h5py.File(OLD) as file:
        for name in (f"{MODEL}/modes", f"{SMALL}/pca"):
            result, group = results[name], file[name]
            for metric in group.attrs["metrics"]:
                np.testing.assert_array_equal(result.grid(metric), group[metric][()])
                np.testing.assert_array_equal(result.grid(metric, column="stderr"), group[f"{metric}_stderr"][()])
                np.testing.assert_array_equal(result.grid(metric, column="n"), group["n"][()])
            np.testing.assert_array_equal(result.computed(), group["computed"][()].astype(bool))
        columns, group = results[f"{MODEL}/history"].columns, file[f"{MODEL}/history"]
        assert set(columns) == set(group)
        for key, column in columns.items():
            np.testing.assert_array_equal(column, group[key][()])
        measures, group = results[f"{MODEL}/sharpness"].measures, file[f"{MODEL}/sharpness"]
        assert [measure.label for measure in measures] == group["measure"].asstr()[()].tolist()
        for field in ("value", "stderr", "evaluations"):
            np.testing.assert_array_equal([getattr(measure, field) for measure in measures], group[field][()])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_in_the_present_layout_and_undamaged(path: Path) -> None:
    contents = read_contents(path)
    assert contents.results
    assert not contents.problems
    with h5py.File(path) as file:
        for name, digest in contents.digests.items():
            assert bytes(file[name].attrs[DIGEST]).decode() == digest
