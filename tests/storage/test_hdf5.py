"""Every kind of result in HDF5, bit for bit, and as xarray shows it."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
import xarray
from cases import kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import landscape
from landscape.errors import LandscapeError
from landscape.figures.figure import figure
from landscape.results import (
    POINT,
    ConvexityResult,
    DensityResult,
    LayersResult,
    LineResult,
    MeasureResult,
    Result,
    Sampled,
    SharpnessResult,
    StudyResult,
    SurfaceResult,
    TrajectoryResult,
    points_table,
)
from landscape.storage.hdf5 import LAYOUTS, read_result, register_layout, summary, write_result
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

SHIPPED = Path(landscape.__file__).parent.parent / "figures" / "resnet20-cifar10.h5"
EVERYTHING: dict[str, Result] = {**kinds.make.everything("a", "b"), **kinds.everything("a")}


def stored(tmp_path: Path, results: dict[str, Result]) -> dict[str, Result]:
    with ResultFile(tmp_path / "f.h5") as file:
        for name, result in results.items():
            file.stage(name, result)
        file.put(name, result)
    return load(tmp_path / "f.h5")


def bits(value: object) -> object:
    """Return all that can be told of a field: of arrays the type and the bytes, of a table its sorted rows."""
    if isinstance(value, np.ndarray):
        rows = np.sort(value) if value.dtype.names else value
        return value.dtype, value.shape, rows.tobytes()
    if isinstance(value, dict):
        return {name: bits(entry) for name, entry in sorted(value.items())}
    return repr(value)


def assert_same(found: Result, made: Result) -> None:
    assert type(found) is type(made)
    for field in dataclasses.fields(made):
        assert bits(getattr(found, field.name)) == bits(getattr(made, field.name)), field.name


def test_every_kind_survives_bit_for_bit(tmp_path: Path) -> None:
    found = stored(tmp_path, EVERYTHING)
    assert set(found) == set(EVERYTHING)
    assert {type(result) for result in found.values()} > {TrajectoryResult, DensityResult, LayersResult, StudyResult}
    for name, made in EVERYTHING.items():
        assert_same(found[name], made)


def test_evidence_of_earlier_versions_is_read_as_diagnostics(tmp_path: Path) -> None:
    """They stored it in an attribute of the result, by label, and called samples units."""
    measure = MeasureResult("sam", "SAM", 0.5, 0.1, "rise", 3, {"rho": 0.05})
    evidence = {"SAM": {"unit": "subsets", "count": 2, "units": [0.25, 0.75]}}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_result(file, SharpnessResult((measure,), {"evidence": evidence}))
        del file["diagnostics"]
        found = read_result(file)
    assert isinstance(found, SharpnessResult)
    assert found.measures[0].diagnostics == {"unit": "subsets", "count": 2, "samples": [0.25, 0.75]}
    assert "evidence" not in found.attributes


def test_convexity_maps_of_earlier_versions_are_converted(tmp_path: Path) -> None:
    """They were surfaces, whose standard errors held the bounds; unfinished ones too, in the file and the journal."""
    new = kinds.convexity("a")
    old = SurfaceResult(new.alpha, new.splits, new.metrics, new.points.view(POINT), new.attributes, new.beta)
    with ResultFile(tmp_path / "f.h5") as file:
        file.put("a/old", old)
        half = dataclasses.replace(old, points=old.points[:3])
        file.begin("a/half", half)
        file.append(old.points[3:6])
    found = load(tmp_path / "f.h5")
    assert_same(found["a/old"], new)
    unfinished = found["a/half"]
    assert isinstance(unfinished, ConvexityResult)
    assert not unfinished.finished
    np.testing.assert_array_equal(np.sort(unfinished.points), np.sort(new.points[:6]))
    with ResultFile(tmp_path / "f.h5") as file:
        file.put("a/other", new)
    assert_same(load(tmp_path / "f.h5")["a/old"], new)


def test_diagnostics_of_another_type_are_refused(tmp_path: Path) -> None:
    measure = MeasureResult("sam", "SAM", 0.5, 0.1, "rise", 3, {}, {"samples": "many"})
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_result(file, SharpnessResult((measure,)))
        with pytest.raises(ValueError, match=r"expected diagnostics\.samples as a list, got 'many'"):
            read_result(file)


def test_a_table_of_several_levels_and_regions_survives_bit_for_bit(tmp_path: Path) -> None:
    whole = kinds.make.surface("a", nx=5, ny=3)
    generator = np.random.default_rng(0)
    evidence = np.concatenate([generator.permutation(whole.points)[:7], generator.permutation(whole.points)[:20]])
    evidence["level"] = [1] * 7 + [2] * 20
    evidence["n"] = [50_000] * 7 + [500] * 20
    evidence["value"] = generator.normal(size=27)
    evidence["value"][:2] = np.nan, -np.inf
    region = whole.points[:8].copy()
    region["alpha"] += 0.0625  # off the axes
    made = dataclasses.replace(whole, points=generator.permutation(np.concatenate([whole.points, evidence, region])))
    found = stored(tmp_path, {"a/plane": made})["a/plane"]
    assert_same(found, made)
    assert isinstance(found, SurfaceResult)
    np.testing.assert_array_equal(found.grid("loss"), whole.grid("loss"))
    np.testing.assert_array_equal(found.grid("loss", level=2), made.grid("loss", level=2))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_survives_bit_for_bit(tmp_path: Path, data: st.DataObject) -> None:
    """Cells half measured, counts that differ between metrics, any number, at any level."""
    number = st.floats(width=64, allow_nan=True)
    place = st.tuples(
        st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.sampled_from([-2.0, 0.0, 3.0]), st.integers(0, 1),
        st.integers(0, 1), st.integers(0, 2),
    )  # fmt: skip
    places = data.draw(st.lists(place, unique=True, max_size=40))
    rows = [
        (a, b, s, m, data.draw(number), data.draw(number), data.draw(st.integers(0, 10**12)), level)
        for a, b, s, m, level in places
    ]
    axes = np.array([-1.0, 0.0, 1.0]), np.array([-2.0, 0.0])  # so that 0.5 and 3 lie off them
    made = SurfaceResult(axes[0], ("train", "test"), ("loss", "error"), points_table(rows), {}, axes[1])
    assert_same(stored(tmp_path, {"a/plane": made})["a/plane"], made)


def test_what_is_not_loss_is_stored_and_filled_as_loss_is(tmp_path: Path) -> None:
    made = kinds.convexity("a", nx=5, ny=3)
    with ResultFile(tmp_path / "f.h5") as file:
        file.begin("a/convexity", dataclasses.replace(made, points=made.points[:0]))
        file.append(made.points[:6])
        half = load(tmp_path / "f.h5")["a/convexity"]
        assert isinstance(half, Sampled)
        assert int(half.computed().sum()) == 2
        file.append(made.points[6:])
        file.put("a/convexity", made)
    assert_same(load(tmp_path / "f.h5")["a/convexity"], made)
    data = xarray.open_dataset(tmp_path / "f.h5", engine="h5netcdf", group="a/convexity")
    assert data["lambda_min"].dims == ("split", "y", "x")
    np.testing.assert_array_equal(data["convexity"].values, made.grid("convexity"))
    data.close()


def test_xarray_opens_every_kind_with_named_axes(tmp_path: Path) -> None:
    stored(tmp_path, EVERYTHING)
    expected = {
        "a/trajectory": {"alpha": ("position",), "residuals": ("position",), "explained": ("component",)},
        "a/density": {"density": ("eigenvalue",), "stderr": ("eigenvalue",), "weights": ("vector", "node")},
        "a/layers": {"top": ("layer",), "converged": ("layer",), "trace_stderr": ("layer",)},
        "study/sharpness": {"values": ("measure", "checkpoint"), "gap": ("checkpoint",), "tau_low": ("measure",)},
        "a/hessian": {"eigenvalues": ("eigenpair",), "converged": ("eigenpair",)},
        "a..b/path": {"alpha": ("position",), "explained": ("component",)},
    }
    for group, variables in expected.items():
        with xarray.open_dataset(tmp_path / "f.h5", engine="h5netcdf", group=group) as data:
            for name, dimensions in variables.items():
                assert data[name].dims == dimensions, (group, name)
    with xarray.open_dataset(tmp_path / "f.h5", engine="h5netcdf", group="study/sharpness") as data:
        made = EVERYTHING["study/sharpness"]
        assert isinstance(made, StudyResult)
        assert float(data["values"].sel(measure=made.measures[1], checkpoint="sam-s3")) == made.values[1, 3]
    with xarray.open_dataset(tmp_path / "f.h5", engine="h5netcdf", group="a/layers") as data:
        assert list(data["layer"].values)[-1] == "fc.weight"
        assert data["converged"].dtype == bool
    with xarray.open_dataset(tmp_path / "f.h5", engine="h5netcdf", group="a/density") as data:
        assert data.attrs["sigma"] == 0.5
        area = np.trapezoid(data["density"].values, data["eigenvalue"].values)
        assert area == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("metric", ["n", "x", "computed", "loss_stderr", "a/b", "", "loss_n"])
def test_a_metric_whose_array_would_replace_another_is_refused(tmp_path: Path, metric: str) -> None:
    made = kinds.make.line("a", metrics=("loss", metric))
    with ResultFile(tmp_path / "f.h5") as file, pytest.raises(LandscapeError, match="another name"):
        file.begin("a/line", dataclasses.replace(made, points=made.points[:0]))


def test_the_shipped_file_of_the_first_version_is_read_and_written_again_unchanged(tmp_path: Path) -> None:
    shipped = load(SHIPPED)
    assert {result.kind for result in shipped.values()} == {
        "density",
        "history",
        "line",
        "surface",
        "spectrum",
        "sharpness",
    }
    found = stored(tmp_path, shipped)
    assert list(found) == list(shipped)
    for name, result in shipped.items():
        assert_same(found[name], result)


def test_a_kind_of_the_future_is_named(tmp_path: Path) -> None:
    stored(tmp_path, {"a/line": EVERYTHING["a/line"]})
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["a/line"].attrs["kind"] = "hologram"
    with pytest.raises(LandscapeError, match="'hologram', which this version of landscape does not know; update"):
        load(tmp_path / "f.h5")


def test_lines_may_have_metrics_other_than_loss(tmp_path: Path) -> None:
    made = kinds.make.line("a", metrics=("gradient_norm",))
    found = stored(tmp_path, {"a/line": made})["a/line"]
    assert isinstance(found, LineResult)
    assert_same(found, made)
    assert len(figure(found).data) == 4


def test_a_result_of_scalars_is_summarized_by_their_names(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class NoiseScale:
        kind: ClassVar[str] = "noise-scale"
        scale: float
        stderr: float
        attributes: dict[str, Any] = dataclasses.field(default_factory=dict)

    register_layout(NoiseScale)
    try:
        (back,) = stored(tmp_path, {"a/noise": NoiseScale(8.0, 1.0)}).values()
        assert summary(back) == "scale, stderr"
    finally:
        del LAYOUTS["noise-scale"]
