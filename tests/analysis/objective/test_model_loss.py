"""Losses of model and batch, and the other forms that data come in."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import landscape
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.surfaces.reliability import SurfaceWarning
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError

N = 24
OPTIONS: dict[str, Any] = {"device": "cpu", "precision": "float64"}


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(inputs: int = 1, outputs: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, outputs)).double()


def residual(model: nn.Module, x: Tensor) -> Tensor:
    """u″ + u = 0."""
    x.requires_grad_()
    u = model(x)
    slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
    return (bend + u).square().mean(1)


def energy_and_force(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    positions, energies, forces = batch
    positions.requires_grad_()
    energy = model(positions).squeeze(1)
    force = -torch.autograd.grad(energy.sum(), positions, create_graph=True)[0]
    return (energy - energies).square() + 10 * (force - forces).square().mean(1)


def contrastive(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    a, b = (F.normalize(model(x), dim=1) for x in batch)
    return F.cross_entropy(a @ b.T / 0.1, torch.arange(len(a)))


def language(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    scores = model(batch["features"])
    weight = (batch["labels"] != -100).sum()
    return F.cross_entropy(scores, batch["labels"], reduction="sum"), weight


LABELS = torch.where(torch.arange(N) < 9, -100, torch.arange(N) % 3)
CASES: dict[str, tuple[Callable[..., Any], nn.Module, Any, bool]] = {
    "physics-informed": (residual, network(), draw(N, 1), True),
    "energy and force": (energy_and_force, network(3), (draw(N, 3), draw(N, seed=2), draw(N, 3, seed=3)), True),
    "contrastive": (contrastive, network(3, 4), (draw(N, 3), draw(N, 3, seed=4)), False),
    "dictionary": (language, network(2, 3), {"features": draw(N, 2), "labels": LABELS}, True),
}


def value(result: Any) -> Tensor:
    return result[0].sum() / result[1].sum() if isinstance(result, tuple) else result.mean()


@pytest.mark.parametrize("name", CASES)
def test_a_loss_of_model_and_batch_is_that_of_autograd(name: str) -> None:
    function, model, batch, divisible = CASES[name]
    names, shapes = zip(*((n, p.shape) for n, p in model.named_parameters()), strict=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self) -> Tensor:
            fresh = {k: t.clone() for k, t in batch.items()} if isinstance(batch, dict) else None
            given = fresh or (batch.clone() if isinstance(batch, Tensor) else tuple(t.clone() for t in batch))
            return value(function(self.inner, given))

    def loss(point: Tensor) -> Tensor:
        parts = point.split([s.numel() for s in shapes])
        weights = {f"inner.{n}": part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(Whole(), weights, ())

    for size in (N, 7) if divisible else (N,):
        o = Objective(model, landscape.ModelLoss(function), {"train": batch}, batch_size=size, **OPTIONS)
        w = flatten(o.origin) + 0.1
        moved = {n: p.view(s) for n, p, s in zip(names, w.split([s.numel() for s in shapes]), shapes, strict=True)}
        v = draw(len(w), seed=5)
        assert o.loss(moved) == pytest.approx(loss(w).item(), rel=1e-10)
        assert list(o.origin) == list(names)
        torch.testing.assert_close(flatten(o.gradient(moved)[1]), torch.autograd.functional.jacobian(loss, w))
        product = CurvatureOperator(o, weights=moved)(v)
        torch.testing.assert_close(product, torch.autograd.functional.hvp(loss, w, v)[1])
        with nullcontext() if divisible else pytest.warns(SurfaceWarning, match="depends on batch_size"):
            line = surface(o, points=3)
        assert line.grid("loss")[0].ravel()[4] == pytest.approx(loss(flatten(o.origin)).item(), rel=1e-6)


def test_inputs_are_left_as_they_are() -> None:
    x = draw(N, 1)
    o = Objective(network(), landscape.ModelLoss(residual), x, **OPTIONS)
    o.loss()
    assert not x.requires_grad
    assert o.metrics == ("loss",)
    assert o.loss_name.endswith(":residual")


def test_points_of_different_numbers_are_one_batch() -> None:
    def both(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        inside, border = batch
        return residual(model, inside).mean() + model(border).square().mean()

    inside, border = draw(N, 1), draw(2, 1)
    o = Objective(network(), landscape.ModelLoss(both), (inside, border), batch_size=5, **OPTIONS)
    assert o.loss() == pytest.approx(both(network(), (inside.clone(), border)).item(), rel=1e-12)


def test_a_loss_of_model_and_batch_has_no_gauss_newton_matrix_and_no_metrics() -> None:
    o = Objective(network(), landscape.ModelLoss(residual), draw(N, 1), **OPTIONS)
    with pytest.raises(LandscapeError, match="needs outputs between the model and the loss"):
        CurvatureOperator(o, "ggn")
    with pytest.raises(LandscapeError, match="metrics are of outputs and targets"):
        Objective(network(), landscape.ModelLoss(residual), draw(N, 1), metrics={"a": lambda z, y: z}, **OPTIONS)


class Outputs:
    """As transformers returns them."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(10, 4), nn.Linear(4, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Outputs:
        hidden = (self.table(input_ids) * attention_mask[:, :, None]).sum(1)
        return Outputs(self.head(hidden))


IDS = torch.randint(0, 10, (N, 5), generator=torch.Generator().manual_seed(3))
BATCH = {"input_ids": IDS, "attention_mask": (IDS > 2).long(), "labels": IDS[:, 0] % 3}


@pytest.mark.parametrize("form", ["whole", "splits", "loader"])
def test_dictionaries_with_labels_inside_are_inputs_and_targets(form: str) -> None:
    torch.manual_seed(0)
    model = Transformer()
    data = {
        "whole": BATCH,
        "splits": {"train": BATCH},
        "loader": [{k: t[i : i + 9] for k, t in BATCH.items()} for i in range(0, N, 9)],
    }[form]
    o = Objective(model, "cross_entropy", data, **OPTIONS)
    logits = model.double()(BATCH["input_ids"], BATCH["attention_mask"]).logits
    found = o.evaluate()["train"]
    assert found["loss"].value == pytest.approx(F.cross_entropy(logits, BATCH["labels"]).item(), rel=1e-12)
    right = (logits.argmax(1) == BATCH["labels"]).double().mean()
    assert found["accuracy"].value == pytest.approx(right.item(), rel=1e-6)
    v = draw(o.size, seed=5)
    assert torch.isfinite(CurvatureOperator(o)(v)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8", "int32"])
@pytest.mark.parametrize("streamed", [False, True])
def test_numpy_arrays_are_inputs_and_targets(dtype: str, streamed: bool) -> None:
    x = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
    x.setflags(write=False)
    model = nn.Linear(3, 2)
    if dtype == "int32":
        y, loss = (np.arange(N) % 2).astype(np.int32), "cross_entropy"
        expected = F.cross_entropy(model(torch.tensor(x)), torch.tensor(y).long())
    else:
        y, loss = np.random.default_rng(1).standard_normal((N, 2)).astype(dtype), "mse"
        expected = F.mse_loss(model(torch.tensor(x)), torch.tensor(y.astype(np.float32)))
    data = ([(x[:20], y[:20]), (x[20:], y[20:])],) if streamed else (x, y)
    o = Objective(model, loss, *data, device="cpu")
    assert o.loss() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.isfinite(flatten(o.gradient()[1])).all()


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(LandscapeError, match="dtype object; expected numbers"):
        Objective(nn.Linear(3, 2), "mse", np.array([None] * N), np.zeros((N, 2)), device="cpu")


def test_empty_batches_hold_no_examples() -> None:
    x, y, model = draw(N, 3), torch.arange(N) % 2, nn.Linear(3, 2)
    whole = Objective(model, "cross_entropy", x, y, **OPTIONS)
    o = Objective(model, "cross_entropy", [(x[:9], y[:9]), (x[:0], y[:0]), (x[9:], y[9:])], **OPTIONS)
    assert o.loss() == pytest.approx(whole.loss(), rel=1e-12)
    torch.testing.assert_close(flatten(o.gradient()[1]), flatten(whole.gradient()[1]))
    for empty in ((x[:0], y[:0]), ([(x[:0], y[:0])],), ([],)):
        with pytest.raises(LandscapeError, match="the data holds no examples"):
            Objective(model, "cross_entropy", *empty, **OPTIONS)


def test_a_generator_can_be_read_only_once() -> None:
    def batches() -> Iterator[Any]:
        yield draw(N, 3), torch.arange(N) % 2

    with pytest.raises(LandscapeError, match="must be re-iterable"):
        Objective(nn.Linear(3, 2), "cross_entropy", batches(), **OPTIONS)


def test_a_single_example_is_a_batch() -> None:
    model = nn.Linear(1, 1, bias=False)
    loss = landscape.ModelLoss(lambda network, batch: network(batch).square().mean())
    objective = landscape.Objective(model, loss, torch.full((1, 1), 3.0), device="cpu")
    assert objective.loss() == pytest.approx(9 * model.weight.item() ** 2)
