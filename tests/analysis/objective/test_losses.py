"""Losses that divide by a weight of the batch: whatever the batch size, the number of all examples at once."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.losses import resolve_loss
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.sharpness import SamSharpness
from landscape.errors import LandscapeError

N, C = 200, 4
SIZES = (200, 100, 64, 50)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(*shape: int, seed: int = 2, ignored: int | None = None) -> Tensor:
    """Sorted by class, so that batches differ; a share is ignored, unequal over the examples."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(0, C, shape, generator=generator).sort(dim=0).values
    if ignored is not None:
        share = torch.linspace(0, 0.9, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        found[torch.rand(shape, generator=generator) < share] = ignored
    return found


WEIGHT = torch.tensor([0.2, 1.0, 3.0, 7.0], dtype=torch.float64)


class Tokens(nn.Module):
    """(B, T, 3) → (B, T, C), the classes last; or (B, C, T)."""

    def __init__(self, *, last: bool = True) -> None:
        super().__init__()
        self.head, self.last = nn.Linear(3, C), last

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x)
        return scores if self.last else scores.transpose(1, 2)


def last(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda outputs, targets: loss(outputs.transpose(1, 2), targets)


FLAT, SEQUENCES, PIXELS = draw(N, 3), draw(N, 5, 3), draw(N, 2, 3, 3)


def own(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the labels that are not 0, as a sum and a weight of the batch."""
    values = F.cross_entropy(outputs, targets, reduction="none")
    return (values * (targets > 0)).sum(), (targets > 0).sum()


def own_single(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    values = F.cross_entropy(outputs, targets, reduction="none")
    return values * (targets > 0), (targets > 0).double()


def own_at_once(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs[targets > 0], targets[targets > 0])


BINARY = (draw(N, C, seed=3) > 0.5).double()

# by name: the loss given, the model, inputs, targets, and the loss of all examples at once
CASES: dict[str, tuple[Any, Callable[[], nn.Module], Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]] = {
    "class weights": (loss := nn.CrossEntropyLoss(WEIGHT), lambda: nn.Linear(3, C), FLAT, labels(N), loss),
    "float32 weights": (
        nn.CrossEntropyLoss(WEIGHT.float()),
        lambda: nn.Linear(3, C),
        FLAT,
        labels(N),
        nn.CrossEntropyLoss(WEIGHT.float().double()),
    ),
    "ignored": (
        loss := nn.CrossEntropyLoss(ignore_index=2),
        lambda: nn.Linear(3, C),
        FLAT,
        labels(N),
        loss,
    ),
    "all at once": (
        loss := nn.CrossEntropyLoss(WEIGHT, ignore_index=255, label_smoothing=0.1),
        lambda: nn.Conv2d(2, C, 2),
        PIXELS,
        labels(N, 2, 2, ignored=255),
        loss,
    ),
    "smoothed": (
        loss := nn.CrossEntropyLoss(label_smoothing=0.2),
        lambda: nn.Linear(3, C),
        FLAT,
        labels(N, ignored=-100),
        loss,
    ),
    "probabilities": (
        loss := nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1),
        lambda: nn.Linear(3, C),
        FLAT,
        torch.softmax(draw(N, C, seed=4), 1),
        loss,
    ),
    "log-likelihood": (
        loss := nn.NLLLoss(WEIGHT, ignore_index=1),
        lambda: nn.Sequential(nn.Linear(3, C), nn.LogSoftmax(1)),
        FLAT,
        labels(N),
        loss,
    ),
    "function": (F.cross_entropy, lambda: nn.Linear(3, C), FLAT, labels(N, ignored=-100), F.cross_entropy),
    "options bound": (
        loss := functools.partial(F.cross_entropy, weight=WEIGHT),
        lambda: nn.Linear(3, C),
        FLAT,
        labels(N),
        loss,
    ),
    "built in, examples": ("cross_entropy", lambda: nn.Linear(3, C), FLAT, labels(N, ignored=-100), F.cross_entropy),
    "built in, pixels": (
        "cross_entropy",
        lambda: nn.Conv2d(2, C, 2),
        PIXELS,
        labels(N, 2, 2, ignored=-100),
        F.cross_entropy,
    ),
    "built in, tokens": (
        "cross_entropy",
        lambda: Tokens(last=False),
        SEQUENCES,
        labels(N, 5, ignored=-100),
        F.cross_entropy,
    ),
    "classes last": ("token_cross_entropy", Tokens, SEQUENCES, labels(N, 5, ignored=-100), last(F.cross_entropy)),
    "next token": (
        "next_token_cross_entropy",
        Tokens,
        SEQUENCES,
        labels(N, 5, ignored=-100),
        lambda outputs, targets: F.cross_entropy(outputs[:, :-1].transpose(1, 2), targets[:, 1:]),
    ),
    "binary": (
        loss := nn.BCEWithLogitsLoss(weight=WEIGHT, pos_weight=WEIGHT + 1),
        lambda: nn.Linear(3, C),
        FLAT,
        BINARY,
        loss,
    ),
    "own sum and weight": (own, lambda: nn.Linear(3, C), FLAT, labels(N), own_at_once),
    "own sums and weights": (own_single, lambda: nn.Linear(3, C), FLAT, labels(N), own_at_once),
}


def make(name: str, batch_size: int, **options: Any) -> Objective:
    loss, model, inputs, targets, _ = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = model().double()
    return Objective(
        network, loss, inputs, targets, device="cpu", batch_size=batch_size, **{"precision": "float64", **options}
    )


def at_once(name: str, point: Tensor) -> Tensor:
    """Return the loss of all examples in one batch, as a function of the flat parameters."""
    _, model, inputs, targets, loss = CASES[name]
    network = model().double()
    names, shapes = zip(*((n, p.shape) for n, p in network.named_parameters()), strict=True)
    parts = point.split([s.numel() for s in shapes])
    weights = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
    return loss(torch.func.functional_call(network, weights, (inputs,)), targets)


@pytest.mark.parametrize("name", CASES)
def test_value_gradient_products_and_sharpness_do_not_depend_on_the_batch_size(name: str) -> None:
    w = flatten(make(name, N).origin)
    v = draw(len(w), seed=5)
    value = at_once(name, w).item()
    gradient = torch.autograd.functional.jacobian(functools.partial(at_once, name), w)
    product = torch.autograd.functional.hvp(functools.partial(at_once, name), w, v)[1]
    rise = at_once(name, w + 0.05 * gradient / gradient.norm()).item() - value
    for size in SIZES:
        o = make(name, size)
        assert o.loss() == pytest.approx(value, rel=1e-10)
        assert o.per_example().mean() == pytest.approx(value, rel=1e-10)
        torch.testing.assert_close(flatten(o.gradient()[1]), gradient, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(CurvatureOperator(o)(v), product, rtol=1e-8, atol=1e-11)
        assert SamSharpness(0.05).measure(o).value == pytest.approx(rise, rel=1e-7)


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_other_reductions_are_means_over_examples(reduction: str) -> None:
    loss, targets = nn.CrossEntropyLoss(WEIGHT, reduction=reduction), labels(N, 2, 2, ignored=-100)
    model = nn.Conv2d(2, C, 2).double()
    values = F.cross_entropy(model(PIXELS), targets, WEIGHT, reduction="none").detach()
    expected = values.mean() if reduction == "none" else values.sum() / N
    for size in SIZES:
        o = Objective(model, loss, PIXELS, targets, device="cpu", batch_size=size, precision="float64")
        assert o.loss() == pytest.approx(expected.item(), rel=1e-12)


def test_the_fisher_matrix_and_gradient_norm_are_of_the_normalized_values() -> None:
    w = flatten(make("class weights", N).origin)
    model = nn.Linear(3, C).double()
    gradients = []
    for x, y in zip(FLAT, labels(N), strict=True):
        leaf = w.clone().requires_grad_()
        parts = leaf.split([p.numel() for p in model.parameters()])
        scores = F.linear(x[None], parts[0].view(C, 3), parts[1])
        value = F.cross_entropy(scores, y[None], WEIGHT, reduction="sum") * N / WEIGHT[labels(N)].sum()
        gradients.append(torch.autograd.grad(value, leaf)[0])
    G = torch.stack(gradients)
    v = draw(len(w), seed=5)
    for size in SIZES:
        torch.testing.assert_close(CurvatureOperator(make("class weights", size), "fisher")(v), G.T @ (G @ v) / N)


def test_the_standard_error_is_that_of_a_quotient() -> None:
    """Against the spread of the quotient over bootstrap samples of the examples."""
    o = make("class weights", 64)
    outputs = o.network.module(FLAT).detach()
    weights = WEIGHT[labels(N)].numpy()
    sums = F.cross_entropy(outputs, labels(N), WEIGHT, reduction="none").numpy()
    samples = np.random.default_rng(0).integers(0, N, (4000, N))
    quotients = sums[samples].sum(1) / weights[samples].sum(1)
    found = o.evaluate()["train"]["loss"]
    assert found.stderr == pytest.approx(quotients.std(), rel=0.06)
    single = o.per_example()
    assert single.std(ddof=1) / math.sqrt(N) == pytest.approx(found.stderr, rel=1e-9)


def test_accuracy_is_over_the_labels_that_count() -> None:
    for name, dim in (("all at once", 1), ("built in, pixels", 1), ("classes last", -1)):
        _, _, inputs, targets, _ = CASES[name]
        counted = (targets >= 0) & (targets < C)
        for size in SIZES:
            o = make(name, size)
            right = (o.network.module(inputs).argmax(dim) == targets)[counted]
            assert o.evaluate()["train"]["accuracy"].value == pytest.approx(right.double().mean().item(), rel=1e-6)


def test_as_many_classes_as_tokens_do_not_make_tokens_classes() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(N, C, 3), labels(N, C)
    o = Objective(Tokens(), last(F.cross_entropy), inputs, targets, device="cpu")
    assert o.metrics == ("loss",)  # the last dimension holds the classes: the loss does not say so
    first = Objective(Tokens(last=False), lambda z, y: F.cross_entropy(z, y), inputs, targets, device="cpu")
    right = (first.network.module(inputs).argmax(1) == targets).double().mean().item()
    assert first.evaluate()["train"]["accuracy"].value == pytest.approx(right, rel=1e-6)
    said = Objective(Tokens(), "token_cross_entropy", inputs, targets, device="cpu")
    right = (said.network.module(inputs).argmax(-1) == targets).double().mean().item()
    assert said.evaluate()["train"]["accuracy"].value == pytest.approx(right, rel=1e-6)


def test_classes_last_are_named_where_the_loss_does_not_say_so() -> None:
    with pytest.raises(LandscapeError, match="use token_cross_entropy"):
        Objective(Tokens(), "cross_entropy", SEQUENCES.float(), labels(N, 5), device="cpu")


def test_labels_that_are_all_ignored_leave_nothing_to_divide_by() -> None:
    o = Objective(nn.Linear(3, C), "cross_entropy", FLAT.float(), torch.full((N,), -100), device="cpu")
    with pytest.raises(LandscapeError, match="are all labels ignored"):
        o.loss()


def test_a_weight_made_of_outputs_is_refused() -> None:
    def confident(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        values, weights = F.cross_entropy(outputs, targets, reduction="none"), outputs.softmax(1).amax(1)
        return values * weights, weights

    with pytest.raises(LandscapeError, match="depends on the outputs"):
        Objective(nn.Linear(3, C), confident, FLAT.float(), labels(N), device="cpu")


def test_a_weight_for_each_example_of_a_batch_is_refused() -> None:
    loss = nn.BCEWithLogitsLoss(weight=torch.rand(N, 1))
    with pytest.raises(LandscapeError, match="one per example of one batch"):
        Objective(nn.Linear(3, C), loss, FLAT.float(), BINARY, device="cpu")


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, targets: (outputs - targets).square().mean(),
        lambda outputs, targets: (outputs - targets).abs().mean(1),
        nn.MSELoss(),
    ],
)
def test_losses_that_broadcast_are_refused(loss: Any) -> None:
    with pytest.raises(LandscapeError, match=r"broadcasts outputs of shape \(8, 1\) against targets of shape \(8,\)"):
        Objective(nn.Linear(3, 1), loss, FLAT.float(), torch.randn(N), device="cpu")


def test_metrics_that_broadcast_are_refused_and_losses_that_squeeze_are_not() -> None:
    def squeezed(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.squeeze(-1) - targets).square()

    targets = torch.randn(N, generator=torch.Generator().manual_seed(0))
    o = Objective(nn.Linear(3, 1), squeezed, FLAT.float(), targets, device="cpu")
    assert o.loss() == pytest.approx((o.network.module(FLAT.float()).squeeze(-1) - targets).square().mean().item())
    with pytest.raises(LandscapeError, match="the metric error broadcasts"):
        Objective(
            nn.Linear(3, 1),
            squeezed,
            FLAT.float(),
            targets,
            metrics={"error": lambda outputs, targets: (outputs - targets).abs().mean()},
            device="cpu",
        )


def test_own_losses_may_use_labels_that_are_no_class() -> None:
    def segmentation(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, ignore_index=255)

    def language(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def binary(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs.squeeze(1), targets.to(outputs.dtype))

    for loss, model, inputs, targets in (
        (segmentation, nn.Conv2d(2, C, 2), PIXELS, labels(N, 2, 2, ignored=255)),
        (language, Tokens(last=False), SEQUENCES, labels(N, 5, ignored=-100)),
        (binary, nn.Linear(3, 1), FLAT, labels(N) % 2),
    ):
        o = Objective(model, loss, inputs, targets, device="cpu", batch_size=N, precision="float64")
        assert o.loss() == pytest.approx(loss(o.network.module(inputs), targets).item(), rel=1e-12)
    with pytest.raises(LandscapeError, match="labels run from 1 to 4, but the model has 4 outputs"):
        Objective(nn.Linear(3, C), lambda z, y: F.cross_entropy(z, y), FLAT.float(), labels(N) + 1, device="cpu")


def test_a_loss_of_torch_that_sums_over_the_batch_is_refused() -> None:
    with pytest.raises(LandscapeError, match=r"expected a loss with reduction='mean' or 'none', got MSELoss"):
        resolve_loss(nn.MSELoss(reduction="sum"))
    resolve_loss(nn.MSELoss(reduction="none"))
