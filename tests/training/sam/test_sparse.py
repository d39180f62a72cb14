"""SAM where gradients are sparse: the steps are those of dense gradients."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.errors import LandscapeError
from landscape.training.sam import SAM


def make_closure(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        return loss

    return closure


def vector(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Words(nn.Module):
    def __init__(self, *, sparse):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embedding = nn.Embedding(7, 3, sparse=sparse, dtype=torch.float64)
            self.linear = nn.Linear(3, 2, dtype=torch.float64)

    def forward(self, words):
        return self.linear(self.embedding(words).mean(dim=1))


def run_words(*, sparse, base=None, **options):
    model = Words(sparse=sparse)
    base = base or functools.partial(torch.optim.SGD, lr=0.1)
    optimizer = SAM(model.parameters(), base, rho=0.2, model=model, **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):  # words stand several times in a batch, and most rows have no gradient
        words = torch.randint(0, 5, (4, 3), generator=generator)
        targets = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        optimizer.step([make_closure(model, optimizer, (words[i : i + 2], targets[i : i + 2])) for i in (0, 2)])
    return model, optimizer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ascent": "global"},
        {"p": 3.0},
        {"p": float("inf")},
        {"adaptive": "all"},
        {"adaptive": "weights-only", "p": 1.5},
        {"max_norm": 0.05},
    ],
    ids=str,
)
def test_sparse_gradients_are_the_dense_ones(options):
    sparse, optimizer = run_words(sparse=True, **options)
    dense, _ = run_words(sparse=False, **options)
    assert optimizer.param_groups[0]["params"][0].grad.is_sparse
    torch.testing.assert_close(vector(sparse), vector(dense), rtol=1e-12, atol=1e-14)


def test_sparse_adam():
    """Rows that were never looked up stay, and the others take Adam's steps along SAM's gradient."""
    model, untouched = nn.Embedding(7, 3, sparse=True), nn.Embedding(7, 3)
    before = model.weight.detach().clone()
    with torch.no_grad():
        untouched.weight.copy_(before)
    optimizer = SAM(model.parameters(), functools.partial(torch.optim.SparseAdam, lr=0.1), rho=0.2)
    dense = SAM(untouched.parameters(), functools.partial(torch.optim.Adam, lr=0.1), rho=0.2)
    for m, o in ((model, optimizer), (untouched, dense)):
        o.step(make_closure(m, o, (torch.tensor([1, 4, 4]), torch.ones(3, 3))))
    assert torch.equal(model.weight[[0, 2, 3, 5, 6]], before[[0, 2, 3, 5, 6]])
    torch.testing.assert_close(model.weight, untouched.weight, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", [{"every": 2}, {"gsam_alpha": 0.1}], ids=str)
def test_decompositions_refuse_sparse_gradients(options):
    with pytest.raises(LandscapeError, match="sparse=False"):
        run_words(sparse=True, **options)
