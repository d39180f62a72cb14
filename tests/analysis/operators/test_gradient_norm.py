"""The norm of the gradient, and its standard error, against dense float64 derivatives of every example's loss."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.gradient_norm import gradient_norm
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError

N = 23
X = torch.randn(N, 2, 4, 4, generator=torch.Generator().manual_seed(0)).double()
Y = torch.randint(0, 3, (N,), generator=torch.Generator().manual_seed(1))


class OnlyReverse(torch.autograd.Function):
    """A tanh that has no forward mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (1 - x.tanh() ** 2)


class Network(nn.Module):
    def __init__(self, *, reverse_only: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
            self.head = nn.Linear(12, 3)
        self.body[1].running_mean.fill_(0.1)
        self.reverse_only = reverse_only

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        hidden = OnlyReverse.apply(hidden) if self.reverse_only else hidden.tanh()
        return self.head(hidden.flatten(1))


def objective(model: nn.Module, **options: Any) -> Objective:
    options = {"loss": "cross_entropy", "precision": "float64", "batch_size": 5, **options}
    return Objective(model, options.pop("loss"), {"train": (X, Y), "test": (X[:9], Y[:9])}, device="cpu", **options)


def dense(model: nn.Module, weights: dict[str, Tensor], count: int) -> Tensor:
    """Return every example's gradient as a row, (N, n)."""
    reference = Network().double().eval()
    reference.load_state_dict({**model.double().state_dict(), **weights})
    parameters = {name: p.detach() for name, p in reference.named_parameters()}

    def loss(moving: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(reference, moving, (x[None],)), y[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, X[:count], Y[:count])
    return torch.cat([g.reshape(count, -1) for g in gradients.values()], dim=1)


@pytest.mark.parametrize("reverse_only", [False, True])
def test_norm_and_error_are_those_of_the_dense_gradients(reverse_only: bool) -> None:
    found = objective(Network(reverse_only=reverse_only))
    weights = random_plane(found).at(0.3, -0.2)
    for split, count in (("train", N), ("test", 9)):
        rows = dense(Network(), weights, count)
        mean = rows.mean(0)
        along = rows @ (mean / mean.norm())
        result = gradient_norm(found, weights, split=split)
        assert result.value == pytest.approx(float(mean.norm()), rel=1e-9)
        assert result.stderr == pytest.approx(float(along.std()) / np.sqrt(count), rel=1e-6)
        assert result.n == count


def test_a_surface_has_it_beside_the_loss() -> None:
    found = objective(Network())
    plane, chosen = random_plane(found), EvaluationSettings("float64", None, 5)
    result = surface(found, plane, points=3, gradient_norm=True, evaluation=Evaluation(settings=chosen))
    assert result.metrics == ("loss", "accuracy", "gradient_norm")
    expected = gradient_norm(found, plane.at(1.0, -1.0), split="test")
    assert result.grid("gradient_norm")[1, 0, 2] == expected.value
    assert result.grid("gradient_norm", column="stderr")[1, 0, 2] == expected.stderr
    without = surface(found, plane, points=3, evaluation=Evaluation(settings=chosen))
    np.testing.assert_array_equal(result.grid("loss"), without.grid("loss"))


class Shifted(Network):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Buffer(torch.zeros(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.body(x) + self.shift).tanh().flatten(1))


@pytest.mark.parametrize("mode", ["fixed", "recalibrated"])
def test_buffers_at_a_point_between_models_are_those_of_the_loss(mode: str) -> None:
    found = objective(Shifted(), batchnorm=mode)
    weights, buffers = (
        random_plane(found).at(0.3, -0.2),
        {"shift": torch.tensor([1.0, -2.0, 0.5]).double().view(3, 1, 1)},
    )
    scratch = Shifted().double().eval()
    statistics = found.network.recalibrated(weights) if mode == "recalibrated" else {}
    scratch.load_state_dict({**scratch.state_dict(), **statistics, **weights, **buffers})
    loss = nn.functional.cross_entropy(scratch(X), Y)
    assert found.evaluate(weights, buffers=buffers)["train"]["loss"].value == pytest.approx(loss.item(), rel=1e-9)
    gradients = torch.autograd.grad(loss, list(scratch.parameters()))
    length = torch.cat([g.flatten() for g in gradients]).norm().item()
    assert gradient_norm(found, weights, buffers=buffers).value == pytest.approx(length, rel=1e-9)


def test_a_flat_point_and_batch_means_have_no_error() -> None:
    zero = objective(Network(), loss=lambda o, t: 0 * o.sum(1))
    flat = gradient_norm(zero, zero.origin)
    assert flat.value == 0
    assert np.isnan(flat.stderr)
    means = objective(Network(), loss=lambda o, t: nn.functional.cross_entropy(o, t))
    assert np.isnan(gradient_norm(means, means.origin).stderr)


def test_metrics_of_the_user_s_own_are_measured_and_may_not_clash() -> None:
    def margin(outputs: Tensor, targets: Tensor) -> Tensor:
        top = outputs.topk(2, dim=1).values
        return top[:, 0] - top[:, 1]

    def entropy(outputs: Tensor, targets: Tensor) -> Tensor:  # a batch's mean: no spread
        return torch.distributions.Categorical(logits=outputs).entropy().mean()

    found = objective(Network(), metrics={"margin": margin, "entropy": entropy})
    result = surface(found, points=3, evaluation=Evaluation(settings=EvaluationSettings("float64", None, 5)))
    assert result.metrics == ("loss", "accuracy", "margin", "entropy")
    outputs = functional_call(Network().double().eval(), found.origin, (X,))
    expected = margin(outputs, Y)
    assert result.grid("margin")[0, 1, 1] == pytest.approx(float(expected.mean()), rel=1e-12)
    stderr = result.grid("margin", column="stderr")[0, 1, 1]
    assert stderr == pytest.approx(float(expected.std()) / np.sqrt(N), rel=1e-9)
    assert np.isnan(result.grid("entropy", column="stderr")).all()
    for metrics, message in (
        ({"accuracy": margin}, "cannot be named 'accuracy'"),
        ({"broken": lambda o, t: o.nothing}, "the metric broken failed"),
        ({"number": lambda o, t: 1.0}, "returned float; expected a tensor"),
        ({"wide": lambda o, t: o}, r"returned shape \(5, 3\) for 5 examples"),
    ):
        with pytest.raises(LandscapeError, match=message):
            objective(Network(), metrics=metrics)
