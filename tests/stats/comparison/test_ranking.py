"""The order of checkpoints by their measures, and the standard errors of paired differences."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
import torch
from cases import quadratics as make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import (
    KeskarSharpness,
    LargestEigenvalue,
    SamSharpness,
    WorstCaseSharpness,
    sharpness,
)
from landscape.analysis.sharpness.diagnostics import samples_of
from landscape.results import MeasureResult, SharpnessResult
from landscape.stats.comparison.difference import NOT_ALIKE, NOT_STORED, Estimate, Samples, difference
from landscape.stats.comparison.grouped_mean import MAX_GROUPS, group_means, group_sizes, paired_stderr
from landscape.stats.comparison.ranking import rank, rank_by_measure


@given(count=st.integers(1, 1000))
@settings(max_examples=40, deadline=None)
def test_units_keep_the_mean(count: int) -> None:
    values = np.random.default_rng(count).standard_normal(count)
    sizes, means = group_sizes(count), group_means(values)
    assert sizes.sum() == count
    assert len(means) == len(sizes) == min(count, MAX_GROUPS)
    assert sizes @ means / count == pytest.approx(values.mean(), abs=1e-12)


def test_the_paired_standard_error_is_that_of_the_differences() -> None:
    generator = np.random.default_rng(0)
    for count in (2, 100, 128, 2000, 2001):
        common = generator.standard_normal(count)
        a, b = (common + 0.1 * generator.standard_normal(count) for _ in range(2))
        exact = (a - b).std(ddof=1) / math.sqrt(count)
        found = paired_stderr(samples_of(a, "examples")["samples"], samples_of(b, "examples")["samples"], count)
        assert found == pytest.approx(exact, rel=1e-6 if count <= MAX_GROUPS else 0.2)
        assert count < 100 or found < 0.5 * math.hypot(a.std(), b.std()) / math.sqrt(count)
    assert math.isnan(paired_stderr([1.0], [2.0], 1))
    assert math.isnan(paired_stderr([1.0, math.inf], [2.0, math.inf], 2))


def network(seed: int) -> Objective:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    return Objective(model, "cross_entropy", make.EXAMPLES, make.LABELS, device="cpu", precision="float64")


def test_checkpoints_are_ranked_with_paired_differences() -> None:
    specs = [SamSharpness(), WorstCaseSharpness(m=4), KeskarSharpness(restarts=0), LargestEigenvalue()]
    found = {f"seed{seed}": sharpness(network(seed), specs) for seed in range(3)}
    ranked = rank_by_measure(found)
    assert list(ranked) == [spec.label for spec in specs]
    for label, places in ranked.items():
        values = [found[place.checkpoint].value(label) for place in places]
        assert values == sorted(values)
        assert [place.rank for place in places] == [1, 2, 3]
        assert [place.above.value for place in places] == pytest.approx([v - values[0] for v in values])
    first, second = ranked[specs[0].label][:2]
    rises = []
    for place in (first, second):
        objective = network(int(place.checkpoint[-1]))
        _, gradient = objective.gradient()
        length = math.sqrt(sum(float(g.square().sum()) for g in gradient.values()))
        moved = {name: w + 0.05 / length * gradient[name] for name, w in objective.origin.items()}
        rises.append(objective.per_example(moved) - objective.per_example())
    assert second.above.paired
    assert second.above.stderr == pytest.approx((rises[1] - rises[0]).std(ddof=1) / 4, rel=1e-6)
    assert second.above.clear is bool(second.above.value > 2 * second.above.stderr)
    worst, keskar, top = (ranked[spec.label][1].above for spec in specs[1:])
    assert worst.paired
    assert not keskar.paired
    assert math.isnan(keskar.stderr)
    assert not keskar.clear  # two lower bounds
    assert top.bound == pytest.approx(sum(ranked[specs[3].label][i].estimate.bound for i in range(2)))


def result(value: float, stderr: float = math.nan, **diagnostics: object) -> SharpnessResult:
    return SharpnessResult((MeasureResult("x", "x", value, stderr, "", 1, {}, diagnostics),))


def test_differences_of_other_measurements_are_not_paired_and_nan_comes_last() -> None:
    alike = {"unit": "subsets", "count": 3, "samples": [1.0, 2.0, 3.0]}
    found = {
        "nan": result(math.nan),
        "b": result(2.0, 0.4, **{**alike, "count": 4, "samples": [1.0, 2.0, 3.0, 4.0]}),
        "inf": result(math.inf),
        "a": result(1.0, 0.3, **alike),
    }
    places = rank_by_measure(found)["x"]
    assert [place.checkpoint for place in places] == ["a", "b", "inf", "nan"]
    assert places[1].above.stderr == pytest.approx(0.5)
    assert places[1].above.unpaired == NOT_ALIKE
    other = dataclasses.replace(found["b"].measures[0], parameters={"rho": 2}, diagnostics=alike)
    unlike = rank_by_measure({"a": found["a"], "c": SharpnessResult((other,))})["x"]
    assert not unlike[1].above.paired


def test_samples_of_other_examples_are_not_paired() -> None:
    """Two files may hold as many examples of another subset, or of other data."""
    diagnostics = {"unit": "examples", "count": 3, "samples": [1.0, 2.0, 3.0]}
    attributes = {"subset": 3, "subset_seed": 0, "data": {"fingerprints": {"train": "aa"}}}
    measure = MeasureResult("x", "x", 2.0, 0.3, "", 1, {}, diagnostics)
    pair = {"a": SharpnessResult((measure,), attributes), "b": SharpnessResult((measure,), attributes)}
    assert rank_by_measure(pair)["x"][1].above.paired
    for other in ({"subset_seed": 1}, {"data": {"fingerprints": {"train": "bb"}}}, {"splits": ["test"]}):
        unlike = {**pair, "b": SharpnessResult((measure,), {**attributes, **other})}
        assert rank_by_measure(unlike)["x"][1].above.unpaired == NOT_ALIKE
    old = {**pair, "b": SharpnessResult((dataclasses.replace(measure, diagnostics={}),), attributes)}
    assert rank_by_measure(old)["x"][1].above.unpaired == NOT_STORED


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=30))
def test_paired_errors_are_those_of_the_differences_and_signs_are_of_the_second(pairs) -> None:
    first, second = np.array(pairs).T
    a, b = (Estimate(v.mean(), 1.0, samples=Samples(v.tolist(), len(v), "key")) for v in (first, second))
    apart = difference(a, b)
    assert apart.value == pytest.approx((second - first).mean(), abs=1e-12)
    assert apart.stderr == pytest.approx(scipy.stats.sem(second - first), abs=1e-12)
    back = difference(b, a)
    assert (back.value, back.stderr, back.clear) == pytest.approx((-apart.value, apart.stderr, apart.clear))


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=8))
def test_ranks_ascend_and_nan_comes_last(values) -> None:
    ranked = rank({str(i): Estimate(value) for i, value in enumerate(values)})
    ordered = [one.estimate.value for one in ranked]
    np.testing.assert_array_equal(ordered, np.sort(values))
    assert [one.rank for one in ranked] == list(range(1, len(values) + 1))


def test_a_difference_beyond_the_largest_float_is_infinite() -> None:
    assert difference(Estimate(-1.7e308), Estimate(1.7e308)).value == math.inf
