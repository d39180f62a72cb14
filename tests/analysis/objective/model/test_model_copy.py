"""Copies of models for derivatives: weight norms, sparse embeddings, wrappers, frozen and complex parameters."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.curvature.trace import trace
from landscape.analysis.objective.model.model_copy import deep_copy, weight_norm
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.errors import LandscapeError

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.randn(12, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
LABELS = torch.arange(12) % 2


def old_weight_norm(module: nn.Module, dim: int | None = 0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module, dim=dim)


STYLES: dict[str, Callable[..., nn.Module]] = {
    "parametrized": lambda module, dim: nn.utils.parametrizations.weight_norm(module, dim=dim),
    "hooked": old_weight_norm,
}


def objective(model: nn.Module, loss: Any = "mse", x: Tensor = X, y: Tensor = Y, **options: Any) -> Objective:
    return Objective(model, loss, x, y, device="cpu", **{"precision": "float64", **options})


def matrix(o: Objective, operator: str = "hessian") -> Tensor:
    return CurvatureOperator(o, operator)(torch.eye(o.size, dtype=torch.float64))


def normalized(vector: Tensor, dim: int | None) -> Tensor:
    """Return the outputs of the network below from its 22 (dim=0), 20 or 21 parameters, in one expression each."""
    norms = {None: 1, 0: 4, 1: 3}[dim]
    bias, g, v, w, b = vector.split([4, norms, 12, 8, 2])
    v = v.view(4, 3)
    shape = {None: (), 0: (4, 1), 1: (1, 3)}[dim]
    lengths = {None: (v**2).sum(), 0: (v**2).sum(1, keepdim=True), 1: (v**2).sum(0, keepdim=True)}[dim] ** 0.5
    return torch.tanh(X @ (g.view(shape) * v / lengths).T + bias) @ w.view(2, 4).T + b


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("style", STYLES)
def test_weight_normalized_models_have_the_hessian_of_the_definition(style: str, dim: int | None) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(STYLES[style](nn.Linear(3, 4), dim), nn.Tanh(), nn.Linear(4, 2)).double()
    model(X).sum().backward()  # leaves a tensor of a graph behind as an attribute
    o = objective(model)
    start = torch.cat([w.flatten() for w in o.origin.values()])
    H = torch.autograd.functional.hessian(lambda w: F.mse_loss(normalized(w, dim), Y), start)
    torch.testing.assert_close(matrix(o), H, rtol=1e-10, atol=1e-12)
    exact = np.linalg.eigvalsh(H.numpy())
    assert hessian(o, top=1, tolerance=1e-8).eigenvalues[0] == pytest.approx(exact[-1], rel=1e-7)
    assert trace(o, products=o.size).trace == pytest.approx(exact.sum(), rel=1e-9)


@pytest.mark.parametrize("style", STYLES)
def test_weight_normalized_convolutions_are_those_of_torch(style: str) -> None:
    x = torch.randn(6, 2, 5, 5, dtype=torch.float64)
    for layer, dim in ((nn.Conv2d(2, 3, 3), 0), (nn.ConvTranspose2d(2, 3, 3), 1), (nn.Conv2d(2, 3, 3), 3)):
        model = nn.Sequential(STYLES[style](layer, dim), nn.BatchNorm2d(3), nn.Flatten()).double().eval()
        targets = torch.zeros_like(model(x))
        o = objective(model, "mse", x, targets)
        assert o.loss() == pytest.approx(model(x).square().mean().item(), rel=1e-12)


@pytest.mark.parametrize("dim", [-1, 0])
def test_weight_norm_of_a_vector_is_that_of_torch(dim: int) -> None:
    v, g = torch.randn(5, dtype=torch.float64), torch.rand(5 if dim == 0 else 1, dtype=torch.float64).squeeze()
    torch.testing.assert_close(weight_norm(v, g, dim), torch._weight_norm(v, g, dim))


def test_a_spectral_normalized_model_works_after_a_training_step() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)).double()
    model(X).sum().backward()
    o = objective(model)
    u, v = model[0].weight_u, model[0].weight_v

    def loss(w: Tensor) -> Tensor:
        bias, first, second, last = w.split([4, 12, 8, 2])
        first = first.view(4, 3)
        hidden = torch.tanh(X @ (first / (u @ first @ v)).T + bias)
        return F.mse_loss(hidden @ second.view(2, 4).T + last, Y)

    start = torch.cat([w.flatten() for w in o.origin.values()])
    H = torch.autograd.functional.hessian(loss, start)
    torch.testing.assert_close(matrix(o), H, rtol=1e-10, atol=1e-12)
    assert hessian(objective(model, precision="float32"), top=1).eigenvalues[0] == pytest.approx(
        np.linalg.eigvalsh(H.numpy())[-1], rel=1e-3
    )


def test_tensors_that_a_model_computed_and_kept_are_copied_without_their_graph() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.seen = [self.body(x)]
            return self.seen[0]

    model = Keeping().double()
    model(X)
    copied = deep_copy(model)
    assert copied.seen[0].grad_fn is None
    assert torch.equal(copied.seen[0], model.seen[0])
    assert model.seen[0].grad_fn is not None
    assert hessian(objective(model), top=1, tolerance=1e-6).converged.all()


def test_sparse_embeddings_have_second_derivatives_and_the_caller_s_stay_sparse() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sparse = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Flatten(), nn.Tanh(), nn.Linear(6, 2)).double()
        bag = nn.Sequential(nn.EmbeddingBag(5, 3, sparse=True), nn.Tanh(), nn.Linear(3, 2)).double()
    words = torch.randint(0, 5, (12, 2), generator=torch.Generator().manual_seed(0))
    for model in (sparse, bag):
        dense = copy.deepcopy(model)
        dense[0].sparse = False
        o, other = (objective(m, "cross_entropy", words, LABELS) for m in (model, dense))
        torch.testing.assert_close(o.gradient()[1], other.gradient()[1])
        assert model[0].sparse
        if model is sparse:  # torch has no second derivative of an EmbeddingBag
            torch.testing.assert_close(matrix(o), matrix(other))
            assert hessian(o, top=1, tolerance=1e-6).converged.all()


def test_wrappers_that_hide_the_weights_are_refused_with_the_remedy() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted, traced = torch.jit.script(model), torch.jit.trace(model, X.float())
    for wrapped, message in (
        (nn.DataParallel(model), "give model.module"),
        (scripted, "the model is compiled by torch.jit"),
        (traced, "the model is compiled by torch.jit"),
        (nn.Sequential(nn.Tanh(), scripted), "its module '1' is compiled by torch.jit"),
        (nn.Sequential(nn.Tanh(), nn.DataParallel(model)), "its module '1' is wrapped in DataParallel"),
    ):
        with pytest.raises(LandscapeError, match=message):
            objective(wrapped)


def test_a_model_without_trainable_parameters_is_refused_with_the_remedy() -> None:
    with pytest.raises(LandscapeError, match=r"frozen .*requires_grad_\(True\)"):
        objective(nn.Linear(3, 2).requires_grad_(False))
    with pytest.raises(LandscapeError, match="the model has none at all"):
        objective(nn.Tanh())


class Spectral(nn.Module):
    """A linear layer in the frequency domain, with complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64))
        self.modes = nn.Parameter(torch.ones(2, 2, dtype=torch.complex128))
        self.phase = nn.Buffer(torch.exp(1j * torch.arange(2)).to(torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,io->bo", torch.fft.rfft(x * self.scale), self.modes * self.phase).real


def test_complex_parameters_are_refused_by_name_unless_left_out() -> None:
    with pytest.raises(LandscapeError, match="'modes' is of type complex128"):
        objective(Spectral())
    frozen = Spectral()
    frozen.modes.requires_grad_(False)
    for o in (objective(frozen, precision="float32"), objective(Spectral(), params="scale", precision="float32")):
        assert list(o.origin) == ["scale"]
        assert hessian(o, top=1).converged.all()
