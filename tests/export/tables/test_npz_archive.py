"""NumPy archives of the fields."""

import io
import json

import numpy as np
import pytest
from cases import kinds

from landscape.export.tables.npz_archive import npz_bytes
from landscape.results import LineResult, Sampled

make = kinds.make


EVERYTHING = {**make.everything("a", "b"), **kinds.everything("a")}


@pytest.mark.parametrize("name", EVERYTHING)
def test_archives_hold_the_fields_and_load_without_pickles(name):
    result = EVERYTHING[name]
    with np.load(io.BytesIO(npz_bytes(result)), allow_pickle=False) as archive:
        assert str(archive["kind"]) == result.kind
        assert json.loads(str(archive["attributes"]))["checkpoint"] == result.attributes["checkpoint"]
        if isinstance(result, Sampled):
            for metric in result.metrics:
                np.testing.assert_array_equal(archive[metric], result.grid(metric))
            np.testing.assert_array_equal(archive["computed"], result.computed())
            np.testing.assert_array_equal(archive["points"], result.points)
            assert ("beta" in archive) is not isinstance(result, LineResult)
        if name == "a/density":
            np.testing.assert_array_equal(archive["weights"], result.weights)
            assert archive["sigma"] == 0.5
