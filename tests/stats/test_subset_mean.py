"""Means of spectra over subsets, and the disjoint stratified subsets themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.data import stratified_subset
from landscape.data.disjoint_subsets import disjoint_subsets
from landscape.errors import LandscapeError
from landscape.results import SpectrumResult
from landscape.stats.subset_mean import mean_spectrum


def spectrum(values: list[float], ends: tuple[int, ...] = (1, 1, -1), **attributes: object) -> SpectrumResult:
    return SpectrumResult(
        eigenvalues=np.array(values),
        ends=np.array(ends, dtype=np.int8),
        residuals=np.array([0.1, 0.2, 0.3])[: len(ends)],
        bounds=np.array(values) * 0 + 0.01,
        converged=np.array([True] * len(ends)),
        products=10,
        attributes={"examples": {"train": 5}, "seconds": 2.0, **attributes},
    )


def trace_of(value: float) -> dict[str, object]:
    return {"value": value, "stderr": 9.0, "method": "hutch++", "products": 6}


def test_means_and_standard_errors() -> None:
    found = mean_spectrum(
        [
            spectrum([9.0, 4.0, -1.0], trace=trace_of(10.0), effective_rank=2.0, ratio_5=1.0),
            spectrum([11.0, 4.0, -2.0], trace=trace_of(14.0), effective_rank=3.0),
        ]
    )
    assert found.eigenvalues.tolist() == [10, 4, -1.5]
    assert found.attributes["subsets"] == {
        "count": 2,
        "examples": [5, 5],
        "eigenvalues": [[9, 4, -1], [11, 4, -2]],
        "bounds": [[0.01] * 3] * 2,
        "stderr": [1, 0, 0.5],
    }
    assert found.attributes["trace"] == {
        "value": 12,
        "stderr": 2,
        "method": "hutch++, mean of 2 subsets",
        "products": 12,
    }
    assert found.attributes["effective_rank"] == {"value": 2.5, "stderr": 0.5, "method": "mean of 2 subsets"}
    assert "ratio_5" not in found.attributes  # not all have it
    assert found.attributes["examples"] == {"train": 10}
    assert found.attributes["seconds"] == 4
    assert found.products == 20
    assert found.bounds.tolist() == [0.01] * 3


def test_one_that_has_not_converged_taints_the_mean() -> None:
    one, other = spectrum([9.0, 4.0, -1.0]), spectrum([9.0, 4.0, -1.0])
    other.converged[1] = False
    assert mean_spectrum([one, other]).converged.tolist() == [True, False, True]


def test_what_does_not_match_is_refused() -> None:
    with pytest.raises(LandscapeError, match="got 1 subsets; expected at least 2"):
        mean_spectrum([spectrum([9.0, 4.0, -1.0])])
    with pytest.raises(LandscapeError, match="differ in how many"):
        mean_spectrum([spectrum([9.0, 4.0, -1.0]), spectrum([9.0, 4.0], (1, 1))])


@given(
    labels=st.lists(st.integers(0, 3), min_size=4, max_size=60),
    count=st.integers(1, 4),
    share=st.floats(0.05, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_subsets_are_disjoint_and_keep_the_proportions(labels: list[int], count: int, share: float, seed: int) -> None:
    y = torch.tensor(labels)
    size = max(1, int(share * len(y)) // count)
    found = disjoint_subsets(y, count, size, seed)
    assert [len(places) for places in found] == [size] * count
    assert len(torch.cat(found).unique()) == count * size
    assert found[0].equal(stratified_subset(y, size, seed))
    for places in found:
        for label in range(4):  # the difference of two counts that are each within one of their share
            expected = size * float((y == label).double().mean())
            assert abs(int((y[places] == label).sum()) - expected) < 2


def test_all_the_examples_are_shared_out() -> None:
    y = torch.arange(11) % 2
    found = disjoint_subsets(y, 3, None, 0)
    assert sorted(len(places) for places in found) == [3, 4, 4]
    assert torch.cat(found).sort().values.equal(torch.arange(11))


@pytest.mark.parametrize(("count", "size"), [(3, 4), (12, None)])
def test_more_than_there_are_is_refused(count: int, size: int | None) -> None:
    with pytest.raises(LandscapeError, match="cannot be disjoint: the split has 11 examples; ask for fewer"):
        disjoint_subsets(torch.arange(11) % 2, count, size, 0)
