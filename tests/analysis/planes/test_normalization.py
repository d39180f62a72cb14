"""Random directions: the same draws everywhere, and norms by the papers' formulas written out again."""

import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.planes.normalization import normalized, raw_direction, transposed_weights
from landscape.analysis.surfaces.surface import surface


class Varied(nn.Module):
    """One layer of each kind that has filters of its own sort."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embedding = nn.Embedding(7, 12)
            self.conv = nn.Conv2d(3, 6, 2, groups=3)
            self.transposed = nn.ConvTranspose2d(6, 4, 2, groups=2)
            self.norm = nn.BatchNorm2d(4)
            self.linear = nn.Linear(16, 3)
            self.scale = nn.Parameter(torch.tensor(1.5))
            self.norm.weight.data.uniform_(0.5, 2)
            self.norm.bias.data.normal_()

    def forward(self, x: Tensor) -> Tensor:
        images = self.embedding(x).view(-1, 3, 2, 2)
        return self.scale * self.linear(self.norm(self.transposed(self.conv(images))).flatten(1))


TOKENS = torch.randint(0, 7, (8,), generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def objective(model: nn.Module | None = None, inputs: Tensor | None = None, **options: Any) -> Objective:
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(3)) if inputs is None else inputs
    return Objective(model or Small(), "cross_entropy", inputs, LABELS, device="cpu", **options)


def varied(**options: Any) -> Objective:
    return objective(Varied(), TOKENS, **options)


# ---- draws


def test_a_draw_is_pinned() -> None:
    """A NumPy that draws otherwise would silently change every figure: this notices."""
    drawn = raw_direction({"layer1.0.conv1.weight": torch.Size([16, 3, 3, 3])}, seed=0, number=1)
    values = drawn["layer1.0.conv1.weight"]
    assert values.dtype == torch.float32
    assert hashlib.sha256(values.numpy().tobytes()).hexdigest() == PINNED
    assert values.flatten()[:3].tolist() == pytest.approx(PINNED_VALUES, rel=1e-6)


PINNED = "b3338af617cf909e1bfa3597c82bed12c5aea7177aa2e34db9e1dce6a504e277"
PINNED_VALUES = [-0.9564310312, 0.9781654477, 0.8088726401]


def test_a_draw_depends_on_seed_number_and_name_and_nothing_else() -> None:
    shape = torch.Size([5, 3])
    alone = raw_direction({"w": shape}, 3, 1)["w"]
    among = raw_direction({"a": torch.Size([100]), "w": shape, "z": shape}, 3, 1)
    assert torch.equal(among["w"], alone)
    others = [among["z"], raw_direction({"w": shape}, 4, 1)["w"], raw_direction({"w": shape}, 3, 0)["w"]]
    for other in others:
        assert not torch.isclose(other, alone).any()


def test_draws_are_standard_normal() -> None:
    values = raw_direction({"w": torch.Size([200, 500])}, 0, 0)["w"].double()
    n = values.numel()
    assert abs(values.mean().item()) < 5 / math.sqrt(n)
    assert values.var().item() == pytest.approx(1, abs=5 * math.sqrt(2 / n))
    assert (values**4).mean().item() == pytest.approx(3, abs=5 * math.sqrt(96 / n))


def test_draws_take_none_of_the_callers_random_numbers_and_handle_scalars() -> None:
    before = torch.get_rng_state()
    drawn = raw_direction({"s": torch.Size([])}, 0, 0)["s"]
    assert drawn.shape == ()
    assert torch.equal(torch.get_rng_state(), before)


def test_two_models_get_the_same_raw_direction_each_normalized_to_itself() -> None:
    first, second = Small(), Small()
    second.linear.weight.data *= torch.tensor([[2.0], [3.0], [5.0]])
    a, b = (random_plane(objective(model), seed=4).directions[0]["linear.weight"] for model in (first, second))
    torch.testing.assert_close(b, a * torch.tensor([[2.0], [3.0], [5.0]]))


# ---- normalization


def li_et_al(direction: list[Tensor], weights: list[Tensor], norm_kind: str, ignore: str) -> list[Tensor]:
    """Return what net_plotter.normalize_directions_for_weights of tomgoldstein/loss-landscape makes, in float64."""
    made = []
    for d, w in zip([d.double().clone() for d in direction], [w.double() for w in weights], strict=True):
        if d.dim() <= 1:
            d.copy_(torch.zeros_like(w) if ignore == "biasbn" else w)
        elif norm_kind == "filter":
            for slice_d, slice_w in zip(d, w, strict=True):  # along dimension 0
                slice_d.mul_(slice_w.norm() / (slice_d.norm() + 1e-10))
        elif norm_kind == "layer":
            d.mul_(w.norm() / d.norm())
        elif norm_kind == "weight":
            d.mul_(w.abs())  # theirs multiplies by w: the sign is the draw's either way
        made.append(d)
    return made


@pytest.mark.parametrize("kind", ["filter", "layer", "weight"])
@pytest.mark.parametrize(("policy", "ignore"), [("zero", "biasbn"), ("li-code", "")])
def test_agrees_with_the_reference_code(kind: Any, policy: Any, ignore: str) -> None:
    found = varied(params="embedding*,conv*,norm*,linear*,scale")
    plane = random_plane(found, seed=5, normalization=kind, one_dimensional=policy)
    shapes = {name: w.shape for name, w in found.origin.items()}
    for number, direction in enumerate(plane.directions):
        raw = raw_direction(shapes, 5, number)
        expected = li_et_al(list(raw.values()), list(found.origin.values()), kind, ignore)
        for name, d in zip(shapes, expected, strict=True):
            assert direction[name].dtype == torch.float32
            torch.testing.assert_close(direction[name].double(), d, rtol=2e-7, atol=1e-12)


def test_each_filter_moves_by_its_own_norm() -> None:
    found = varied()
    d = random_plane(found, seed=1).directions[0]
    w = found.origin
    for name in ("embedding.weight", "conv.weight", "linear.weight"):
        for moved, filter_ in zip(d[name], w[name], strict=True):
            assert moved.norm().item() == pytest.approx(filter_.norm().item(), rel=1e-6)
    for group in range(2):  # (6 in, 2 out per group, 2, 2): output 2·group + j is [3·group : 3·group + 3, j]
        for j in range(2):
            unit = (slice(3 * group, 3 * group + 3), j)
            lengths = [tensors["transposed.weight"][unit].norm().item() for tensors in (d, w)]
            assert lengths[0] == pytest.approx(lengths[1], rel=1e-6)
    raw = raw_direction({"transposed.weight": w["transposed.weight"].shape}, 1, 0)["transposed.weight"]
    ratio = d["transposed.weight"] / raw
    assert torch.allclose(ratio[:3, 0], ratio[0, 0, 0, 0])
    assert not torch.allclose(ratio[:3, 0], ratio[3, 0, 0, 0])


def test_a_transposed_convolution_is_its_output_units_by_a_plain_convolution() -> None:
    """The unit of a transposed convolution: rescaling exactly those entries rescales exactly that output channel."""
    layer = nn.ConvTranspose2d(6, 4, 2, groups=2, bias=False)
    x = torch.randn(2, 6, 3, 3)
    before = layer(x)
    layer.weight.data[3:6, 1] *= 7  # group 1, unit 1: output channel 3
    after = layer(x)
    torch.testing.assert_close(after[:, 3], 7 * before[:, 3])
    torch.testing.assert_close(after[:, :3], before[:, :3])


@pytest.mark.parametrize("policy", ["zero", "scaled", "li-code"])
def test_policies_for_one_dimensional_parameters(policy: Any) -> None:
    found = varied()
    d = random_plane(found, seed=2, one_dimensional=policy).directions[1]
    raw = raw_direction({name: w.shape for name, w in found.origin.items()}, 2, 1)
    for name in ("conv.bias", "norm.weight", "norm.bias", "linear.bias", "scale"):
        w = found.origin[name]
        expected = {"zero": 0 * w, "li-code": w, "scaled": raw[name] * (w.norm() / raw[name].norm())}[policy]
        torch.testing.assert_close(d[name], expected)


def test_none_leaves_the_draw_as_it_is() -> None:
    found = objective()
    plane = random_plane(found, normalization="none", one_dimensional="scaled")
    raw = raw_direction({name: w.shape for name, w in found.origin.items()}, 0, 1)
    assert torch.equal(plane.directions[1]["linear.weight"], raw["linear.weight"])


def test_a_filter_that_is_zero_stays_where_it_is() -> None:
    d, w = torch.ones(2, 3), torch.tensor([[0.0, 0, 0], [3, 4, 0]])
    found = normalized({"w": d}, {"w": w})["w"]
    assert found[0].tolist() == [0, 0, 0]
    assert found[1].norm().item() == pytest.approx(5)
    assert normalized({"w": torch.zeros(2, 3)}, {"w": w})["w"].tolist() == torch.zeros(2, 3).tolist()


def test_the_direction_does_not_depend_on_how_a_norm_is_summed() -> None:
    """Norms in float64: the float32 result, and its hash, survive another order of summation."""
    w = torch.randn(4, 3000, generator=torch.Generator().manual_seed(0))
    raw = raw_direction({"w": w.shape}, 0, 0)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(1))
    found = normalized(raw, {"w": w})["w"]
    shuffled = normalized({"w": raw["w"][:, order]}, {"w": w[:, order]})["w"]
    assert torch.equal(shuffled, found[:, order])


# ---- layers of every kind


class Attending(nn.Module):
    """Attention, a recurrent layer, and an embedding tied to the layer that reads it out."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.embedding = nn.Embedding(7, 4, padding_idx=0)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.recurrent = nn.GRU(4, 4, batch_first=True)
            self.readout = nn.Linear(4, 7, bias=False)
        self.readout.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.embedding(x[:, None].repeat(1, 3))
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.readout(self.recurrent(y)[0][:, -1])


def test_rows_of_attention_and_recurrent_layers_are_filters() -> None:
    """A row of a packed projection makes one unit of a query, key or value; of a GRU's weight, one unit of a gate."""
    found = objective(Attending(), TOKENS)
    d = random_plane(found, seed=3).directions[0]
    raw = raw_direction({name: w.shape for name, w in found.origin.items()}, 3, 0)
    for name in ("attention.in_proj_weight", "attention.out_proj.weight", "recurrent.weight_ih_l0"):
        for moved, drawn, row in zip(d[name], raw[name], found.origin[name], strict=True):
            torch.testing.assert_close(moved, drawn * (row.norm() / drawn.norm()))
    assert not d["attention.in_proj_bias"].any()
    assert found.origin["attention.in_proj_weight"].shape == (12, 4)
    assert not d["embedding.weight"][0].any()  # the padding's row is zero and stays so


def test_tied_weights_move_once_and_everywhere() -> None:
    model = Attending()
    found = objective(model, TOKENS)
    assert "readout.weight" not in found.origin
    plane = random_plane(found, seed=3)
    weights = plane.at(0.3, -0.2)
    moved = Attending()
    moved.readout.weight = nn.Parameter(weights["embedding.weight"].clone())  # untied, and moved in both places
    named = dict(moved.named_parameters())
    for name, w in weights.items():
        named[name].data.copy_(w)
    expected = nn.functional.cross_entropy(moved(TOKENS), LABELS).item()
    assert found.loss(weights) == pytest.approx(expected, rel=1e-5)
    assert abs(expected - found.loss()) > 1e-3


# ---- invariance


def test_rescaling_a_convolution_before_batchnorm_leaves_the_surface_unchanged() -> None:
    """With the running mean and variance rescaled to match, and a tiny ε, the function and its surface are the same."""

    def network(scales: Tensor) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(
                nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-14), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
            ).double()
            model[1].running_mean.normal_()
            model[1].running_var.uniform_(0.5, 2)
        with torch.no_grad():
            model[0].weight.mul_(scales.view(-1, 1, 1, 1))
            model[1].running_mean.mul_(scales)
            model[1].running_var.mul_(scales**2)
        return model

    images = torch.randn(8, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    grids: dict[Any, list[Any]] = {}
    for kind in ("filter", "none"):
        for scales in (torch.ones(4), torch.tensor([0.1, 3.0, 20.0, 1.0])):
            found = objective(network(scales.double()), images, precision="float64")
            plane = random_plane(found, normalization=kind)
            grids.setdefault(kind, []).append(surface(found, plane, points=(5, 3)).grid("loss"))
    np.testing.assert_allclose(*grids["filter"], rtol=1e-6)
    assert np.abs(np.divide(*grids["none"]) - 1).max() > 0.05


class Conv1D(nn.Module):
    """As transformers has it for GPT-2: a linear layer whose weight is (in, out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def test_gpt2_s_linear_layers_have_their_filters_along_dimension_1() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Conv1D(5, 3), nn.Linear(3, 2))
    weights = {name: w.detach() for name, w in model.named_parameters()}
    drawn = {name: torch.randn_like(w) for name, w in weights.items()}
    found = normalized(drawn, weights, transposed=transposed_weights(model))
    torch.testing.assert_close(found["0.weight"].norm(dim=0), weights["0.weight"].norm(dim=0))
    torch.testing.assert_close(found["1.weight"].norm(dim=1), weights["1.weight"].norm(dim=1))
