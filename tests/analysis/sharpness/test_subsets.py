"""Random subsets of the examples: which, how many, and that they share the network and nothing else."""

import numpy as np
import pytest
import torch
from cases import quadratics as make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import SamSharpness, WorstCaseSharpness, sharpness
from landscape.analysis.sharpness.subsets import count_subsets, subsets
from landscape.errors import LandscapeError


class Numbers(nn.Module):
    """Returns the numbers that examples hold, so that a loss says which they are."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, number: Tensor, other: Tensor) -> Tensor:
        assert torch.equal(number, other[:, 0])
        return self.w * number


def numbered(count: int, batch: int | None) -> Objective:
    """Return an objective on dictionaries of tensors, whole or as ready batches."""
    number = torch.arange(count).float()
    inputs = {"number": number, "other": torch.stack([number, -number], 1)}
    if batch is None:
        return Objective(Numbers(), make.identity, inputs, torch.zeros(count), device="cpu")
    ready = [
        ({name: tensor[i : i + batch] for name, tensor in inputs.items()}, torch.zeros(len(number[i : i + batch])))
        for i in range(0, count, batch)
    ]
    return Objective(Numbers(), make.identity, ready, device="cpu")


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 50),
    examples=st.one_of(st.none(), st.integers(1, 50)),
    batch=st.one_of(st.none(), st.integers(1, 9)),
    seed=st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_they_are_disjoint_whole_and_the_same_for_everyone(
    count: int, size: int, examples: int | None, batch: int | None, seed: int
) -> None:
    objective = numbered(count, batch)
    parts = [part.per_example() for part in subsets(objective, size, examples=examples, seed=seed)]
    assert len(parts) == count_subsets(count, size, examples)
    assert all(len(part) == min(size, count) for part in parts)
    together = np.concatenate(parts)
    assert len(set(together.tolist())) == len(together)
    assert set(together.tolist()) <= set(range(count))
    assert objective.data["train"].examples == count
    if batch is not None:
        whole = [part.per_example() for part in subsets(numbered(count, None), size, examples=examples, seed=seed)]
        np.testing.assert_array_equal(together, np.concatenate(whole))


def test_other_seeds_draw_other_subsets() -> None:
    drawn = [next(subsets(numbered(40, None), 10, seed=seed)).per_example().tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_variant_leaves_the_objective_as_it_was() -> None:
    objective = make.classifier()
    before = objective.evaluate()
    other = objective.variant(
        data={"few": objective.data["train"].take([3, 1, 3])}, loss=lambda outputs, _: outputs.square().sum(1)
    )
    assert other.splits == ("few",)
    assert other.network is objective.network
    logits = make.relu_network()(make.EXAMPLES[[3, 1, 3]])
    np.testing.assert_allclose(other.per_example(), logits.square().sum(1).detach())
    value, gradient = other.gradient()
    assert value == pytest.approx(logits.square().sum(1).mean().item())
    assert set(gradient) == set(objective.origin)
    assert objective.evaluate() == before


def test_batches_of_unequal_lengths_lose_only_the_measures_of_subsets() -> None:
    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x.mean(1))

    torch.manual_seed(0)
    batches = [(torch.randn(4, length, 3), torch.arange(4) % 2) for length in (2, 5)]
    o = Objective(Pooled(), "cross_entropy", batches, device="cpu")
    with pytest.warns(UserWarning, match="was not measured: examples of ready batches differ in shape"):
        found = sharpness(o, [WorstCaseSharpness(m=2, examples=4), SamSharpness(), SamSharpness(m=2)])
    assert [measure.name for measure in found.measures] == ["sam"]
    assert len(found.attributes["warnings"]) == 2
    with pytest.raises(LandscapeError, match="pad them to one shape"):
        sharpness(o, [SamSharpness(m=2)])


def test_parameters_of_size_0_have_nothing_to_move() -> None:
    model = nn.Linear(3, 2)
    model.empty = nn.Parameter(torch.zeros(0, 4))
    o = Objective(model, "cross_entropy", torch.randn(8, 3), torch.arange(8) % 2, device="cpu")
    assert list(o.origin) == ["weight", "bias"]
    assert np.isfinite(SamSharpness().measure(o).value)
