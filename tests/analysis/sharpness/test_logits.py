"""Normalized logits."""

import pytest
import torch
from cases import quadratics as make
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.sharpness import WorstCaseSharpness
from landscape.analysis.sharpness.logits import normalized_logits, with_logits
from landscape.errors import LandscapeError


def test_normalized_logits_do_not_see_the_scale_and_shift_of_the_logits() -> None:
    logits = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double()
    found = normalized_logits(logits)
    assert torch.allclose(found.sum(1), torch.zeros(7).double(), atol=1e-12)
    assert torch.allclose(found.norm(dim=1), torch.ones(7).double())
    assert torch.allclose(normalized_logits(5 * logits - 2), found)
    assert not normalized_logits(torch.ones(2, 3)).any()  # not NaN where all logits are equal


def test_s_max_of_normalized_logits_is_that_of_a_model_that_normalizes() -> None:
    class Normalizing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = make.relu_network()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.model(x)
            out = out - out.mean(1, keepdim=True)
            return out / out.norm(dim=1, keepdim=True)

    other = Objective(Normalizing(), "cross_entropy", make.EXAMPLES, make.LABELS, device="cpu", precision="float64")
    spec = WorstCaseSharpness(0.01, m=4)
    expected = spec.measure(other).value
    found = WorstCaseSharpness(0.01, m=4, logits="normalized").measure(make.classifier())
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert abs(found.value / spec.measure(make.classifier()).value - 1) > 0.01
    assert "normalized logits" in found.label


def test_logits_are_normalized_for_classification_only() -> None:
    with pytest.raises(LandscapeError, match="for classification only"):
        with_logits(make.quadratic(), "normalized")
    with pytest.raises(LandscapeError, match="raw or normalized"):
        with_logits(make.classifier(), "scaled")  # type: ignore[arg-type]
    plain = make.classifier()
    assert with_logits(plain, "raw") is plain
    before = plain.loss()
    with_logits(plain, "normalized").loss()
    assert plain.loss() == before
