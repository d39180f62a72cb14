"""CSV tables: one row per observation, all digits."""

import csv
import io

import numpy as np
import pandas
import pytest
from cases import kinds

from landscape.export.tables.csv_table import csv_bytes
from landscape.results import Sampled, SampledPlane

make = kinds.make


EVERYTHING = {**make.everything("a", "b"), **kinds.everything("a")}


def wild(points):
    """A corner that is no number, another that diverges, and a point in the middle that was not computed."""
    corner = (points["beta"] == 0.5) & (points["metric"] == 0)
    points["value"][corner & (points["alpha"] == 1)] = np.nan
    points["value"][corner & (points["alpha"] == -1)] = np.inf
    return points[~((points["alpha"] == 0) & (points["beta"] == 0))]


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_table_has_a_row_for_each_observation_with_all_digits(name):
    result = EVERYTHING[name]
    rows = list(csv.DictReader(io.StringIO(csv_bytes(result).decode("utf-8"))))
    assert rows
    if isinstance(result, Sampled):
        assert len(rows) == len(result.points)
        for row in rows:
            grid = result.grid(row["metric"])[result.splits.index(row["split"])]
            x = np.flatnonzero(result.alpha == float(row["alpha"]))[0]
            at = (np.flatnonzero(result.beta == float(row["beta"]))[0], x) if isinstance(result, SampledPlane) else x
            np.testing.assert_array_equal(float(row["value"]), grid[at])
    if name == "study/sharpness":
        assert len(rows) == result.values.size
        assert [float(row["value"]) for row in rows[:8]] == result.values[0].tolist()
        assert {(row["measure"], row["tau"]) for row in rows} == set(
            zip(result.measures, map(str, result.tau.tolist()), strict=True)
        )
    if name == "a/density":
        assert [float(row["density"]) for row in rows] == result.density.tolist()
        assert {row["sigma"] for row in rows} == {"0.5"}


def test_tables_are_what_pandas_reads_even_nan_and_inf_and_commas():
    surface = make.surface("a", nx=3, ny=3, change=wild)
    table = pandas.read_csv(io.BytesIO(csv_bytes(surface)))
    loss = table[(table["metric"] == "loss") & (table["split"] == "train")]
    assert len(loss) == 8
    assert np.isposinf(loss["value"]).sum() == 1
    assert loss["value"].isna().sum() == 1
    sharpness = pandas.read_csv(io.BytesIO(csv_bytes(make.sharpness())))
    assert list(sharpness["label"]) == [measure.label for measure in make.sharpness().measures]
