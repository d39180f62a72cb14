"""A model that draws random numbers in evaluation mode leaves the caller's generators alone."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.gradient_norm import gradient_norm
from landscape.analysis.sharpness import SamSharpness, sharpness
from landscape.analysis.surfaces.surface import surface

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 3
DRAWS = {
    "torch": lambda x: F.dropout(x, 0.5, training=True),
    "numpy": lambda x: x * float(np.random.rand()),  # noqa: NPY002
    "python": lambda x: x * random.random(),
}


class Drawing(nn.Module):
    def __init__(self, draw: str) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return DRAWS[self.draw](x)


def states() -> tuple[object, ...]:
    numpy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], random.getstate()


def make(draw: str) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(Drawing(draw), nn.Linear(4, 3), nn.BatchNorm1d(3))
    return Objective(model, "cross_entropy", X, LABELS, device="cpu", batch_size=5)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.filterwarnings("ignore:two passes")
@pytest.mark.parametrize(
    "measure",
    [
        lambda o: o.evaluate(),
        lambda o: o.per_example(),
        lambda o: o.gradient(),
        lambda o: gradient_norm(o, None),
        lambda o: hessian(o, top=1, max_products=3),
        lambda o: sharpness(o, [SamSharpness(0.05)]),
        lambda o: surface(o, points=3),
    ],
    ids=["evaluate", "per_example", "gradient", "gradient_norm", "hessian", "sharpness", "surface"],
)
def test_the_callers_generators_stay_as_they_were(draw, measure):
    before = states()
    objective = make(draw)
    assert states() == before
    measure(objective)
    assert states() == before
    assert objective.network.is_random
    assert objective.parallel_batches == 1


@pytest.mark.parametrize("draw", DRAWS)
def test_every_pass_draws_the_same_numbers_whatever_the_caller_drew(draw):
    objective = make(draw)
    first = objective.per_example()
    torch.manual_seed(123)
    np.random.seed(4)  # noqa: NPY002
    random.seed(5)
    np.testing.assert_array_equal(objective.per_example(), first)
    np.testing.assert_array_equal(make(draw).per_example(), first)


def test_deterministic_models_pay_nothing():
    objective = Objective(nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)), "cross_entropy", X, LABELS, device="cpu")
    assert not objective.network.is_random
