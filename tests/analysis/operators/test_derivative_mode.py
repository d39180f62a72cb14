"""Orders of differentiation: operators without forward mode, losses linear in the outputs, attention."""

import torch
from cases.derivative_problem import INPUTS, LABELS, REALS, N, Power, dense, matrix, network, objective
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.operators.derivative_mode import derivative_modes
from landscape.analysis.operators.operator import CurvatureOperator


class Attention(nn.Module):
    """One head of fused attention over two tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(2, 6), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.view(-1, 1, 2, 2)).chunk(3, dim=-1)
        return self.head(F.scaled_dot_product_attention(q, k, v).flatten(1))


def explicit_attention(model: nn.Module, x: Tensor) -> Tensor:
    q, k, v = model.qkv(x.view(-1, 2, 2)).chunk(3, dim=-1)
    return model.head((torch.softmax(q @ k.mT / 2**0.5, -1) @ v).flatten(1))


def test_an_operator_without_forward_mode_is_differentiated_by_reverse_over_reverse() -> None:
    ready, by_hand = (objective(network(Power(by_hand=flag))) for flag in (False, True))
    for operator in ("hessian", "ggn"):
        expected = matrix(CurvatureOperator(ready, operator), ready.size)
        found = matrix(CurvatureOperator(by_hand, operator), ready.size)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        assert derivative_modes(by_hand)[operator].order == "reverse over reverse"


def test_reverse_over_reverse_with_a_loss_linear_in_the_outputs() -> None:
    """Its second derivative by the outputs is zero: the GGN vanishes, the Hessian is the network's."""

    def linear(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs * targets).sum(1)

    ready, by_hand = (objective(network(Power(by_hand=flag)), linear, REALS) for flag in (False, True))
    torch.testing.assert_close(
        matrix(CurvatureOperator(by_hand), ready.size), matrix(CurvatureOperator(ready), ready.size)
    )
    assert matrix(CurvatureOperator(by_hand, "ggn"), ready.size).count_nonzero() == 0
    assert matrix(CurvatureOperator(ready, "ggn"), ready.size).count_nonzero() == 0


def test_attention_has_second_derivatives() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Attention().double()
    found = objective(model, batch_size=N)
    H, G = dense(
        explicit_attention(model, INPUTS), lambda outputs: F.cross_entropy(outputs, LABELS), list(model.parameters())
    )
    torch.testing.assert_close(matrix(CurvatureOperator(found), found.size), H, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(matrix(CurvatureOperator(found, "ggn"), found.size), G, rtol=1e-8, atol=1e-11)


def test_outputs_in_a_dictionary_have_a_ggn_in_both_modes() -> None:
    class Named(nn.Module):
        def __init__(self, *, by_hand: bool) -> None:
            super().__init__()
            self.body = network(Power(by_hand=by_hand))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            y = self.body(x)
            return {"logits": y, "again": y}

    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs["logits"], targets, reduction="none") + outputs["again"].square().mean(1)

    model = network(Power(by_hand=False))
    _, G = dense(model(INPUTS), lambda y: F.cross_entropy(y, LABELS) + y.square().mean(), list(model.parameters()))
    for by_hand in (False, True):
        found = objective(Named(by_hand=by_hand), loss)
        torch.testing.assert_close(matrix(CurvatureOperator(found, "ggn"), found.size), G, rtol=1e-8, atol=1e-11)
