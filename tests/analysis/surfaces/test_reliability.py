"""Surfaces that show less than they seem to carry a warning."""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation
from landscape.analysis.surfaces.reliability import SurfaceWarning
from landscape.analysis.surfaces.surface import surface

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3


class Lora(nn.Module):
    """A frozen linear layer with a trainable low-rank update B A, of which B begins at zero (Hu et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(4, 3).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(2, 4))
        self.lora_B = nn.Parameter(torch.zeros(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.lora_A.T @ self.lora_B.T


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=True)


def objective(*layers: nn.Module) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(*layers, nn.Linear(4, 3))
    return Objective(model, "cross_entropy", X, LABELS, device="cpu")


def measured(o: Objective, **options: object) -> tuple[object, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = surface(o, points=3, evaluation=Evaluation(precision="float32"), **options)
    assert all(issubclass(w.category, SurfaceWarning) for w in caught)
    assert result.attributes.get("warnings", []) == [str(w.message) for w in caught]
    return result, [str(w.message) for w in caught]


def test_an_ordinary_surface_has_no_warnings() -> None:
    assert measured(objective(nn.Dropout(0.5), nn.BatchNorm1d(4)))[1] == []


def test_a_random_model_is_warned_of() -> None:
    _, (message,) = measured(objective(Dropping()))
    assert message.startswith("two passes over the same inputs give different outputs")


def test_a_fresh_lora_adapter_gives_a_flat_surface_and_says_why() -> None:
    o = Objective(Lora(), "cross_entropy", X, LABELS, device="cpu")
    result, (still, flat) = measured(o)
    assert "0.43 of the entries of a random direction are zero" in still  # 6 of the 8 + 6
    assert "all of lora_B" in still
    assert "stay still with normalization='filter'" in still
    assert "exactly" in flat
    assert "at all 9 points" in flat
    assert np.ptp(result.grid("loss")) == 0
    assert result.attributes["directions"]["zero_share"] == 6 / 14
    assert measured(o, plane=random_plane(o, normalization="none"))[1] == []


def test_zero_filters_count_and_biases_that_are_to_stay_do_not() -> None:
    o = objective(nn.Linear(4, 4))
    with torch.no_grad():
        o.origin["0.weight"][1:3] = 0  # 8 of the 16 + 12 entries
    _, (message,) = measured(o)
    assert "0.29 of the entries of a random direction are zero, like the weights there: these" in message
    scaled = random_plane(o, one_dimensional="scaled")
    assert scaled.provenance["zero_share"] == 8 / (16 + 12 + 4 + 3)


@pytest.mark.parametrize("normalization", ["layer", "weight"])
def test_other_normalizations_have_their_own_share(normalization: str) -> None:
    o = objective()
    with torch.no_grad():
        o.origin["0.weight"][0, :2] = 0
    recipe = random_plane(o, normalization=normalization).provenance
    assert recipe.get("zero_share") == (2 / 12 if normalization == "weight" else None)
