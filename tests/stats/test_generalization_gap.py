"""The standard error of the generalization gap."""

import math

import pytest
from cases import synthetic as make

from landscape.stats.generalization_gap import gap_stderr

WHOLE = {"data": {"examples": {"train": 2000, "test": 2000}}}


def uneven(points):
    points["stderr"] = 0.03 + 0.01 * points["split"]
    return points


def test_it_is_that_of_two_independent_means_over_all_examples():
    assert gap_stderr([make.history(), make.surface(change=uneven, **WHOLE)]) == pytest.approx(0.05)
    assert gap_stderr([make.line(**WHOLE)]) == pytest.approx(0.01 * math.sqrt(2))


@pytest.mark.parametrize(
    "other",
    [
        make.surface(),  # of how many examples there are in all is not recorded
        make.surface(data={"examples": {"train": 50000, "test": 2000}}),  # a subset
        make.surface(splits=("train",), **WHOLE),
        make.surface(batchnorm="recalibrated", **WHOLE),  # another loss at the origin
    ],
)
def test_subsets_and_other_losses_have_none(other):
    assert math.isnan(gap_stderr([other]))
