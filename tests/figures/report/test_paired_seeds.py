"""Paired differences over seeds, against Student's t."""

import numpy as np
import pytest
from cases import synthetic as make
from scipy import stats

from landscape.figures.report.paired_seeds import colours_of, comparisons
from landscape.figures.report.summary import checkpoints, key_numbers


def compared(**options):
    named = checkpoints(make.pair_of_recipes(**options))
    rows = key_numbers(named)
    return rows, named, comparisons(named, rows)


def test_paired_differences_are_student_s_over_the_seeds():
    rows, _, (found,) = compared()
    assert (found.first, found.second) == ("adam", "sam")
    assert found.labels == [(f"net-adam-s{s}", f"net-sam-s{s}") for s in (0, 1, 2)]
    quantities = {one.row.label: one for one in found.quantities}
    (row,) = (row for row in rows if row.label == "Test loss")
    adam, sam = ([row.numbers[f"net-{r}-s{s}"].value for s in (0, 1, 2)] for r in ("adam", "sam"))
    interval = stats.ttest_rel(sam, adam).confidence_interval(0.95)
    one = quantities["Test loss"]
    assert (one.difference.low, one.difference.high) == pytest.approx(tuple(interval))
    assert (one.first.mean, one.first.deviation) == pytest.approx((np.mean(adam), np.std(adam, ddof=1)))
    assert one.difference.count == 3
    assert quantities["λ_max"].difference.clear
    assert not quantities["Keskar ε-sharpness, ε = 0.001"].difference.clear


def test_checkpoints_of_a_recipe_that_is_compared_share_a_colour():
    _, named, found = compared()
    colours = colours_of([*named, "other"], found)
    assert {label.split("-")[1]: index for label, index in colours.items() if label != "other"} == {"adam": 0, "sam": 1}
    assert colours["other"] == 2
    assert colours_of(["a", "b"], []) == {"a": 0, "b": 1}


def test_one_seed_or_an_ambiguous_pairing_is_not_compared():
    assert compared(seeds=(0,))[2] == []
    results = make.pair_of_recipes()
    twice = {
        f"again/{key.rpartition('/')[2]}": result for key, result in results.items() if key.startswith("net-sam-s0/")
    }
    named = checkpoints(results | twice)
    assert comparisons(named, key_numbers(named)) == []
