"""Products with Hessian, GGN and Fisher matrix: each way of taking them against dense float64 matrices."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.analysis.curvature.eigenvalues import hessian
from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators import graphs
from landscape.analysis.operators import operator as products
from landscape.analysis.operators.convolution import FastConvolutions
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.errors import LandscapeError

N = 7
LABELS = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(2))
OPERATORS = ("hessian", "ggn", "fisher")


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(make: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().double()


def dense(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return all three matrices by double backward through explicit loops, batch and loss by hand."""
    parameters = list(model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            outputs = model(x)
            losses = F.cross_entropy(outputs, y, reduction="none")
            J, slopes = rows(outputs, parameters), rows(losses, parameters)
            gradient = torch.autograd.grad(losses.mean(), parameters, create_graph=True)
            H = rows(torch.cat([g.flatten() for g in gradient]), parameters)
    p = torch.softmax(outputs.detach(), 1)
    inner = torch.block_diag(*(torch.diag_embed(p) - p[:, :, None] * p[:, None, :])) / len(y)
    return {"hessian": H, "ggn": J.T @ inner @ J, "fisher": slopes.T @ slopes / len(y)}


def rows(values: Tensor, parameters: list[Tensor]) -> Tensor:
    found = [torch.autograd.grad(v, parameters, retain_graph=True, materialize_grads=True) for v in values.flatten()]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in found]).detach()


def objective(model: nn.Module, x: Tensor, **options: Any) -> Objective:
    return Objective(
        model, "cross_entropy", x, LABELS, device="cpu", **{"precision": "float64", "batch_size": 3, **options}
    )


def matrix(o: Objective, operator: str, **options: Any) -> Tensor:
    product = CurvatureOperator(o, operator, **options)
    return product(torch.eye(product.size, dtype=torch.float64))


class Recurrent(nn.Module):
    """An LSTM or a GRU over three steps, the last one read out."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.body, self.head = kind(2, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


class Transformer(nn.Module):
    """One encoder layer with fused attention over three tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoderLayer(2, 2, 3, dropout=0.1, batch_first=True)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(1))


def convolutions() -> nn.Module:
    """Strided, dilated, grouped, padded by name, and along one and three dimensions."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
        nn.Tanh(),
        nn.Conv2d(4, 2, 2, dilation=2, bias=False),
        nn.Flatten(2),
        nn.Conv1d(2, 2, 3, padding="same"),
        nn.Softplus(),
        nn.Unflatten(2, (1, 1, 4)),
        nn.Conv3d(2, 2, (1, 1, 2), padding=(0, 0, 1)),
        nn.Flatten(),
        nn.Linear(10, 3, bias=False),
    )


def batchnorm() -> nn.Module:
    """A convolution with a BatchNorm that is folded into it, in evaluation mode."""
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
    model[1].running_mean.uniform_(-1, 1)
    model[1].running_var.uniform_(0.3, 2)
    model[1].weight.data.uniform_(0.5, 2)
    return model


class Tied(nn.Module):
    """One matrix that is used twice, and once transposed, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.second(torch.tanh(self.first(x)))), self.first.weight.T)


MODELS = {
    "convolutions": (convolutions, (2, 8, 8)),
    "BatchNorm": (batchnorm, (1, 3, 3)),
    "tied": (Tied, (3,)),
    "LSTM": (lambda: Recurrent(nn.LSTM), (3, 2)),
    "GRU": (lambda: Recurrent(nn.GRU), (3, 2)),
    "attention": (Transformer, (3, 2)),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("name", MODELS)
def test_products_are_the_dense_matrices(name: str, operator: str) -> None:
    make, shape = MODELS[name]
    model, x = seeded(make).eval(), draw(N, *shape)
    o = objective(model, x)
    A = matrix(o, operator)
    torch.testing.assert_close(A, dense(model, x, LABELS)[operator], rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(A, A.T, rtol=1e-8, atol=1e-11)
    if operator != "hessian":
        assert torch.linalg.eigvalsh(A).min() > -1e-11
    mode = products.derivative_modes(o)[operator]
    assert mode.order == "reverse over reverse"
    assert mode.plain_kernels == bool(mode.reason)


@pytest.mark.parametrize("operator", OPERATORS)
def test_where_reverse_over_reverse_fails_forward_over_reverse_takes_its_place_and_says_why(
    operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NotImplementedError("some_backward has no derivative. More words.")

    monkeypatch.setattr(graphs.Recorded, "__init__", fails)
    model, x = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))), draw(N, 4)
    o = objective(model, x)
    torch.testing.assert_close(matrix(o, operator), dense(model, x, LABELS)[operator], rtol=1e-8, atol=1e-11)
    assert products.derivative_modes(o)[operator] == products.DerivativeMode(
        "forward over reverse", False, "some_backward has no derivative"
    )


class Once(torch.autograd.Function):
    """x³ whose backward must not be differentiated again, without forward mode."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * slope


class OnceWithForwardMode(Once):
    """The same with forward mode."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * tangent


class Cubed(nn.Module):
    """Two layers with x³ between them."""

    def __init__(self, cube: Any) -> None:
        super().__init__()
        self.first, self.second, self.cube = nn.Linear(4, 3), nn.Linear(3, 3), cube

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.cube(self.first(x)))


@pytest.mark.parametrize("operator", ["ggn", "fisher"])
def test_a_function_differentiable_once_gets_its_ggn_and_fisher_matrix_by_forward_mode(operator: str) -> None:
    """By double reverse mode torch would say 0 for the layers before it, and not complain."""
    x = draw(N, 4)
    found, plain = seeded(lambda: Cubed(OnceWithForwardMode.apply)), seeded(lambda: Cubed(lambda z: z**3))
    o = objective(found, x)
    torch.testing.assert_close(matrix(o, operator), dense(plain, x, LABELS)[operator], rtol=1e-8, atol=1e-11)
    mode = products.DerivativeMode("forward over reverse", False, "a function in it is marked once_differentiable")
    assert products.derivative_modes(o)[operator] == mode


@pytest.mark.parametrize(
    ("cube", "operator"),
    [(Once.apply, "hessian"), (Once.apply, "ggn"), (Once.apply, "fisher"), (OnceWithForwardMode.apply, "hessian")],
)
def test_without_second_derivatives_a_model_is_refused_in_one_line(cube: Any, operator: str) -> None:
    message = "cannot take second derivatives of this model: a function in it is marked once_differentiable"
    with pytest.raises(LandscapeError, match=message) as error:
        CurvatureOperator(objective(seeded(lambda: Cubed(cube)), draw(N, 4)), operator)(
            torch.ones(27, dtype=torch.float64)
        )
    assert "\n" not in str(error.value)


def test_a_block_behind_such_a_function_does_not_hide_it_from_the_rest() -> None:
    o = objective(seeded(lambda: Cubed(Once.apply)), draw(N, 4))
    for names in (["second.weight"], None):
        with pytest.raises(LandscapeError, match="marked once_differentiable"):
            CurvatureOperator(o, names=names)(torch.ones(9 if names else 27, dtype=torch.float64))


def test_a_loss_differentiable_once_is_refused_too() -> None:
    model, x = seeded(lambda: nn.Linear(4, 3)), draw(N, 4)
    for operator in OPERATORS:
        o = Objective(
            model, lambda z, _: Once.apply(z).sum(1), x, LABELS, device="cpu", precision="float64", batch_size=3
        )
        with pytest.raises(LandscapeError, match="marked once_differentiable"):
            CurvatureOperator(o, operator)(torch.ones(15, dtype=torch.float64))


def test_the_fast_convolutions_are_used_and_their_first_derivatives_are_torch_s() -> None:
    model, x = seeded(convolutions), draw(N, 2, 8, 8)
    with FastConvolutions():
        inside = model(x)
    assert "Convolution" in str(seeded(lambda: nn.Conv2d(1, 1, 1))(x[:, :1]).grad_fn)
    torch.testing.assert_close(inside, model(x), rtol=1e-12, atol=1e-14)
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(inside.square().sum(), parameters),
        torch.autograd.grad(model(x).square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_graphs_are_recorded_once_and_again_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    o = objective(seeded(convolutions), draw(N, 2, 8, 8))
    v = draw(CurvatureOperator(o).size)
    kept = CurvatureOperator(o)
    expected = kept(v)
    kept(v)
    assert kept.recorded == pytest.approx(1)
    assert kept.kept_bytes > 0
    assert kept.num_matvecs == 2
    kept.release()
    assert kept.kept_bytes == 0
    torch.testing.assert_close(kept(v), expected)
    assert kept.recorded == pytest.approx(2)
    one_batch = 1.5 * kept.kept_bytes * 3 / N
    monkeypatch.setattr(products, "KEPT_FRACTION", 1.0)
    monkeypatch.setattr(products, "free_memory", lambda _: one_batch)
    some = CurvatureOperator(o)
    torch.testing.assert_close(some(v), expected)
    torch.testing.assert_close(some(v), expected)
    assert some.recorded == pytest.approx(1 + 4 / N)  # batches of 3, 3 and 1, the first of them kept


def test_the_time_of_a_product_counts_the_graphs_that_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    product = CurvatureOperator(objective(seeded(convolutions), draw(N, 2, 8, 8)))
    ticks = iter(range(100))
    monkeypatch.setattr(
        products.CurvatureOperator, "_now", lambda _: next(ticks) ** 2
    )  # 0, 1: recorded; 4, 9: a product
    assert product.seconds() == pytest.approx(5 * N / 3)
    ticks = iter(range(100))
    half = product._bytes * N / 2
    monkeypatch.setattr(products, "KEPT_FRACTION", 1.0)
    monkeypatch.setattr(products, "free_memory", lambda _: half)
    assert product.seconds() == pytest.approx((5 + 0.5 * 1) * N / 3)


def test_a_block_of_vectors_and_a_diagonal_block_of_the_matrix() -> None:
    model, x = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))), draw(N, 4)
    o = objective(model, x)
    H = dense(model, x, LABELS)["hessian"]
    block = CurvatureOperator(o, names=["2.weight", "2.bias"])
    assert block.size == 12
    torch.testing.assert_close(block(torch.eye(12, dtype=torch.float64)), H[15:, 15:], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(CurvatureOperator(o)(draw(27, 4)), H @ draw(27, 4), rtol=1e-9, atol=1e-12)


def test_elsewhere_in_weight_space() -> None:
    model, x = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))), draw(N, 4)
    o = objective(model, x)
    there = {name: w + 0.3 for name, w in o.origin.items()}
    model.load_state_dict(there)
    v = draw(27)
    torch.testing.assert_close(CurvatureOperator(o, weights=there)(v), dense(model, x, LABELS)["hessian"] @ v)


def test_bfloat16_products_are_near_in_the_precision_asked_for() -> None:
    model, x = seeded(lambda: nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, 3))), draw(N, 4)
    o = objective(model.float(), x.float(), precision="float32")
    v = draw(o.size)
    for operator in OPERATORS:
        exact, rough = CurvatureOperator(o, operator)(v), CurvatureOperator(o, operator, precision="bfloat16")(v)
        assert rough.dtype == torch.float64
        assert 0 < (rough - exact).norm() < 0.1 * exact.norm()


def test_the_fisher_matrix_needs_single_losses() -> None:
    o = Objective(nn.Linear(4, 3), lambda z, y: F.cross_entropy(z, y), draw(N, 4).float(), LABELS, device="cpu")
    with pytest.raises(LandscapeError, match="one value per example"):
        CurvatureOperator(o, "fisher")


MODEL = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)))
IMAGES = draw(N, 1, 3, 3)
MATRICES = dense(MODEL, IMAGES, LABELS)


@given(
    operator=st.sampled_from(OPERATORS),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=N).filter(lambda s: sum(s) >= N),
    seed=st.integers(0, 2**31),
    single=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_batches_of_any_sizes_in_any_order_give_one_symmetric_matrix(
    operator: str, sizes: list[int], seed: int, single: bool
) -> None:
    """A short batch weighs by its examples; the GGN and the Fisher matrix have no negative curvature."""
    generator = np.random.default_rng(seed)
    order = torch.from_numpy(generator.permutation(N))
    ends = np.minimum(np.cumsum(sizes), N)
    places = [order[start:stop] for start, stop in zip([0, *ends[:-1]], ends, strict=True) if stop > start]
    mean = nn.CrossEntropyLoss() if operator != "fisher" and not single else "cross_entropy"
    o = Objective(MODEL, mean, [(IMAGES[p], LABELS[p]) for p in places], device="cpu", precision="float64")
    u, v = torch.from_numpy(generator.standard_normal((2, o.size)))
    Au, Av = CurvatureOperator(o, operator)(torch.stack([u, v], dim=1)).T
    torch.testing.assert_close(Au, MATRICES[operator] @ u, rtol=1e-9, atol=1e-12)
    assert (v @ Au).item() == pytest.approx((u @ Av).item(), rel=1e-9, abs=1e-12)
    if operator != "hessian":
        assert u @ Au >= -1e-12


def test_eigenvalues_of_a_recurrent_network_say_how_they_were_taken_and_why() -> None:
    model, x = seeded(lambda: Recurrent(nn.LSTM)), draw(N, 3, 2)
    found = hessian(objective(model, x), top=2, tolerance=1e-6)
    exact = np.linalg.eigvalsh(dense(model, x, LABELS)["hessian"].numpy())
    np.testing.assert_allclose(found.eigenvalues, exact[::-1][:2], rtol=1e-5)
    assert found.attributes["derivative_mode"].startswith("reverse over reverse")
