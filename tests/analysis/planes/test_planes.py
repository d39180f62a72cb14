"""Planes and lines against closed forms: where they lie, what their provenance records, and what they refuse."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import digest, dot, flatten, norm
from landscape.analysis.planes import (
    Direction,
    Triangle,
    eigenvector_directions,
    gradient_direction,
    line_between,
    plane_along,
    plane_through,
    random_direction,
    random_plane,
    read_directions,
    sam_direction,
    triangle,
    user_direction,
)
from landscape.analysis.planes.axes import covering_axis
from landscape.analysis.planes.normalization import raw_direction
from landscape.errors import LandscapeError
from landscape.results import SpectrumResult

N = 8
INPUTS = torch.randn(N, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def network(seed: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.3, 3)
    return model.eval()


def objective(model: nn.Module | None = None, **options: Any) -> Objective:
    return Objective(model or network(), "cross_entropy", INPUTS, LABELS, device="cpu", precision="float64", **options)


def loss_of(model: nn.Module) -> float:
    return F.cross_entropy(model.eval()(INPUTS), LABELS).item()


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return (flatten(a) - flatten(b)).detach().norm().item()


class Quadratic(nn.Module):
    """A model whose loss is ½ wᵀ A w + bᵀ w, the same for every example."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        half = torch.randn(6, 6, generator=generator, dtype=torch.float64)
        self.A, self.b = half @ half.T, torch.randn(6, generator=generator, dtype=torch.float64)
        self.w = nn.Parameter(torch.randn(2, 3, generator=generator, dtype=torch.float64))

    def value(self, w: Tensor) -> Tensor:
        return 0.5 * w @ self.A @ w + self.b @ w

    def forward(self, x: Tensor) -> Tensor:
        return self.value(self.w.flatten()).expand(len(x))


def quadratic() -> tuple[Quadratic, Objective]:
    model = Quadratic()
    given = Objective(model, lambda y, _: y, INPUTS, LABELS, device="cpu", precision="float64", fold=False)
    return model, given


# ---- random planes


def test_the_provenance_records_the_draw() -> None:
    found = objective()
    plane = random_plane(found, seed=9)
    a, b = (torch.cat([d.flatten() for d in direction.values()]) for direction in plane.directions)
    assert plane.provenance["kind"] == "random"
    assert plane.provenance["seed"] == 9
    assert plane.provenance["cosine"] == pytest.approx((a @ b / a.norm() / b.norm()).item(), rel=1e-9)
    assert plane.provenance["norms"] == pytest.approx([a.norm().item(), b.norm().item()], rel=1e-12)
    assert plane.provenance["hashes"] == [digest(direction) for direction in plane.directions]
    assert plane.provenance["hashes"] == random_plane(objective(), seed=9).provenance["hashes"]
    assert plane.provenance["hashes"] != random_plane(found, seed=8).provenance["hashes"]


def test_orthogonal_directions_keep_their_length_and_say_so() -> None:
    left, straight = (random_plane(objective(), seed=1, orthogonal=flag) for flag in (False, True))
    assert abs(left.provenance["cosine"]) > 1e-3
    assert abs(straight.provenance["cosine"]) < 1e-12
    assert abs(dot(*straight.directions)) < 1e-12 * norm(straight.directions[0]) * norm(straight.directions[1])
    assert straight.provenance["norms"] == pytest.approx(left.provenance["norms"], rel=1e-9)
    assert torch.equal(straight.directions[0]["0.weight"], left.directions[0]["0.weight"])


def test_points_of_a_plane_and_of_a_line() -> None:
    found = objective()
    plane = random_plane(found)
    assert not plane.is_line
    assert all(torch.equal(plane.at(0, 0)[name], w) for name, w in found.origin.items())
    (d, e), name = plane.directions, "0.weight"
    torch.testing.assert_close(plane.at(0.5, -2)[name], found.origin[name] + 0.5 * d[name] - 2 * e[name])
    assert plane.buffers_at(0.3, 0.1) is None
    line = random_plane(found, dimensions=1)
    assert line.is_line
    assert torch.equal(line.directions[0][name], d[name])
    assert "cosine" not in line.provenance


def test_the_loss_on_a_plane_of_a_quadratic_is_the_closed_form() -> None:
    model, found = quadratic()
    plane = random_plane(found, normalization="none", orthogonal=True)
    w, d, e = (flatten(t) for t in (plane.origin, *plane.directions))
    for alpha, beta in itertools.product((-1.0, 0.0, 0.4), (-2.0, 0.0, 0.7)):
        expected = model.value(w + alpha * d + beta * e).item()
        assert found.loss(plane.at(alpha, beta)) == pytest.approx(expected, rel=1e-12)
    assert found.loss(plane.at(0, 0)) == found.loss()


def test_opposite_directions_give_the_mirrored_line() -> None:
    found = objective()
    one = random_direction(found, seed=5)
    other = user_direction(found, {name: -part for name, part in one.vector.items()}, name="opposite")
    there, back = plane_along(found, one), plane_along(found, other)
    for alpha in (-0.7, 0.0, 0.3):
        assert found.loss(there.at(alpha)) == pytest.approx(found.loss(back.at(-alpha)), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "params", "message"),
    [
        ({"normalization": "filters"}, "*", "unknown normalization 'filters'; expected one of filter, layer"),
        ({"one_dimensional": "keep"}, "*", "unknown one_dimensional 'keep'; expected one of zero, scaled, li-code"),
        ({}, "*.bias", "direction is zero in all of params='[*].bias'"),
    ],
)
def test_unusable_settings_get_one_clear_line(options: dict[str, Any], params: str, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        random_plane(objective(params=params), **options)


def test_parallel_directions_cannot_be_made_orthogonal() -> None:
    model = nn.Linear(1, 1, bias=False)
    found = Objective(model, "mse", torch.ones(4, 1), torch.ones(4, 1), device="cpu")
    with pytest.raises(LandscapeError, match="parallel"):
        random_plane(found, orthogonal=True)


# ---- along any directions


def test_the_gradient_is_of_length_one_and_ascends_the_fastest() -> None:
    model, found = quadratic()
    w = flatten(found.origin)
    expected = model.A @ w + model.b
    direction = gradient_direction(found)
    torch.testing.assert_close(flatten(direction.vector), expected / expected.norm())
    assert direction.provenance["gradient_norm"] == pytest.approx(expected.norm().item(), rel=1e-12)
    step = 1e-6
    slope = (found.loss(plane_along(found, direction).at(step)) - found.loss()) / step
    assert slope == pytest.approx(expected.norm().item(), rel=1e-4)


@pytest.mark.parametrize("p", [2, math.inf])
def test_at_one_along_sams_direction_lies_its_perturbed_point(p: float) -> None:
    """ρ sign(g) |g|^(q−1) / (‖g‖_q^q)^(1/p) with 1/p + 1/q = 1, written out."""
    model, found = quadratic()
    w = flatten(found.origin)
    g = (model.A @ w + model.b).numpy()
    q = p / (p - 1) if p != math.inf else 1.0
    perturbation = 0.3 * np.sign(g) * np.abs(g) ** (q - 1) / (np.abs(g) ** q).sum() ** (1 / p)
    direction = sam_direction(found, rho=0.3, p=p)
    point = flatten(plane_along(found, direction).at(1.0)).numpy()
    np.testing.assert_allclose(point, w.numpy() + perturbation, rtol=1e-12)
    assert direction.provenance["rho"] == 0.3


def test_a_point_without_a_slope_has_no_gradient_direction() -> None:
    model, found = quadratic()
    with torch.no_grad():
        model.w.copy_((-torch.linalg.solve(model.A, model.b)).view(2, 3))
    flat = Objective(nn.Linear(4, 3).double(), lambda y, _: 0 * y.sum(1), INPUTS, LABELS, device="cpu")
    for make in (gradient_direction, sam_direction):
        with pytest.raises(LandscapeError, match="gradient's norm is 0"):
            make(flat)
    assert norm(gradient_direction(found).vector) == pytest.approx(1)
    for options in ({"p": 3}, {"rho": 0.0}, {"rho": math.nan}):
        with pytest.raises(LandscapeError, match="expected"):
            sam_direction(found, **options)


def test_eigenvectors_by_name() -> None:
    model, found = quadratic()
    values, vectors = torch.linalg.eigh(model.A)
    order = [5, 4, 1, 0]  # top1, top2, bottom2, bottom1
    bounds = np.full(4, 1e-9)
    spectrum = SpectrumResult(
        values[order].numpy(), np.array([1, 1, -1, -1], np.int8), bounds, bounds, bounds < 1, 10, {"operator": "ggn"}
    )
    named = [{"w": vectors[:, k].view(2, 3)} for k in order]
    top, bottom = eigenvector_directions(spectrum, named, ("top1", "bottom1"))
    plane = plane_along(found, top, bottom)
    assert plane.provenance["kind"] == "eigenvectors"
    assert plane.provenance["along"] == ["top1", "bottom1"]
    assert [part["eigenvalue"] for part in plane.provenance["parts"]] == [values[5].item(), values[0].item()]
    assert [part["operator"] for part in plane.provenance["parts"]] == ["ggn", "ggn"]
    curvature = found.loss(plane.at(1)) + found.loss(plane.at(-1)) - 2 * found.loss()
    assert curvature == pytest.approx(values[5].item(), rel=1e-9)
    curvature = found.loss(plane.at(0, 1)) + found.loss(plane.at(0, -1)) - 2 * found.loss()
    assert curvature == pytest.approx(values[0].item(), rel=1e-6)
    with pytest.raises(LandscapeError, match="no eigenvector 'top3'; expected one of top1, top2, bottom2, bottom1"):
        eigenvector_directions(spectrum, named, ("top3",))


def test_a_mixture_says_what_each_direction_is() -> None:
    found = objective()
    plane = plane_along(found, random_direction(found, 1, seed=4), gradient_direction(found))
    assert plane.provenance["kind"] == "gradient"
    assert plane.provenance["along"] == ["random", "gradient"]
    assert [part["kind"] for part in plane.provenance["parts"]] == ["random", "gradient"]
    raw = raw_direction({"0.weight": torch.Size([5, 4])}, 4, 1)["0.weight"][0]
    torch.testing.assert_close(
        F.normalize(plane.directions[0]["0.weight"][0], dim=0), F.normalize(raw.double(), dim=0), rtol=1e-6, atol=0
    )
    for directions in ((), (plane, plane, plane)):
        with pytest.raises(LandscapeError, match="expected one for a line or two for a plane"):
            plane_along(found, *directions)
    zero = Direction("nothing", {name: torch.zeros_like(w) for name, w in found.origin.items()}, {"kind": "user"})
    with pytest.raises(LandscapeError, match="'nothing' is zero"):
        plane_along(found, zero)


# ---- the user's own


def test_a_users_vector_is_taken_as_it_is() -> None:
    found = objective()
    partial = user_direction(found, {"3.bias": np.array([1.0, 2.0, 3.0])}, name="mine")
    assert partial.vector["3.bias"].tolist() == [1, 2, 3]
    assert norm(partial.vector) == pytest.approx(math.sqrt(14))
    flat = torch.arange(found.size, dtype=torch.float64)
    whole = user_direction(found, flat)
    assert torch.equal(flatten(whole.vector), flat)
    assert plane_along(found, partial, whole).provenance["kind"] == "user"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ({"bias": torch.ones(3)}, "has 'bias', which is none of params"),
        ({"3.bias": torch.ones(4)}, r"3.bias of shape \(4,\); expected \(3,\)"),
        ({"3.bias": torch.tensor([0.0, math.nan, 1.0])}, "NaN or inf in 3.bias"),
        ({"3.bias": torch.zeros(3)}, "is zero in every parameter"),
        (torch.ones(7), r"shape \(7,\); expected \(53,\)"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused(vector: Any, message: str) -> None:
    with pytest.raises(LandscapeError, match=message):
        user_direction(objective(), vector)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_directions_in_a_file(tmp_path: Path, suffix: str) -> None:
    found, path = objective(), tmp_path / f"mine{suffix}"
    entries = {
        "3.bias": np.ones(3, np.float32),
        "ours/3.bias": 2 * np.ones(3),
        "ours/0.bias": np.ones(5),
        "flat": np.arange(float(found.size)),
    }
    if suffix == ".npz":
        np.savez(path, **entries)
    else:
        save_file({name: torch.from_numpy(entry) for name, entry in entries.items()}, path)
    held = read_directions(path, found.origin)
    assert set(held) == {"mine", "ours", "flat"}
    vectors = {name: user_direction(found, vector).vector for name, vector in held.items()}
    assert vectors["mine"]["3.bias"].tolist() == [1, 1, 1]
    assert vectors["ours"]["0.bias"].tolist() == [1] * 5
    assert norm(vectors["ours"]) == pytest.approx(math.sqrt(17))
    assert vectors["flat"]["3.bias"].tolist() == [50, 51, 52]


def test_files_that_hold_no_directions_get_one_line(tmp_path: Path) -> None:
    objects = tmp_path / "objects.npz"
    np.savez(objects, a=np.array([{}], dtype=object))
    (tmp_path / "torn.safetensors").write_bytes(b"12345678abc")
    np.savez(tmp_path / "empty.npz")
    for name, message in {
        "none.npz": "no such file",
        "objects.npz": "holds objects",
        "torn.safetensors": "truncated",
        "empty.npz": "holds no arrays",
    }.items():
        with pytest.raises(LandscapeError, match=message):
            read_directions(tmp_path / name, {})


# ---- between models


def test_a_line_between_two_models_ends_at_both() -> None:
    first, second = objective(network(1)), network(2)
    plane = line_between(first, second.state_dict())
    assert plane.provenance["kind"] == "between"
    for name, w in second.named_parameters():
        torch.testing.assert_close(plane.at(1.0)[name], w.detach())
        assert torch.equal(plane.at(0.0)[name], first.origin[name])
    for t, model in ((0.0, network(1)), (1.0, second)):
        estimate = first.evaluate(plane.at(t), buffers=plane.buffers_at(t))["train"]["loss"]
        assert estimate.value == pytest.approx(loss_of(model), rel=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.weight"), r"0.weight is \(5, 4\) in the first and nothing"),
        (
            lambda state: state.update({"3.bias": torch.zeros(2)}),
            r"3.bias is \(3,\) in the first and \(2,\) in the sec",
        ),
        (lambda state: state.pop("1.running_var"), r"1.running_var is \(5,\) in the first and nothing"),
    ],
)
def test_other_architectures_are_refused(change: Any, message: str) -> None:
    state = network(2).state_dict()
    change(state)
    with pytest.raises(LandscapeError, match=message):
        line_between(objective(), state)
    with pytest.raises(LandscapeError, match=message):
        plane_through(objective(), state, network(3).state_dict())


def test_buffers_that_are_no_part_of_a_state_stay() -> None:
    class Tabled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)
            self.register_buffer("table", torch.ones(4), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.table)

    model = Tabled().double()
    found = objective(model)
    plane = line_between(found, model.state_dict())
    assert found.evaluate(plane.at(0.5), buffers=plane.buffers_at(0.5)) == found.evaluate()


# ---- through three models


def test_a_plane_through_three_models_holds_them_and_their_distances() -> None:
    models = [network(seed) for seed in (1, 2, 3)]
    found = objective(models[0])
    plane = plane_through(found, models[1].state_dict(), models[2].state_dict(), labels=("a", "b", "c"))
    assert [mark["label"] for mark in plane.marks] == ["a", "b", "c"]
    places = [(mark["alpha"], mark["beta"]) for mark in plane.marks]
    assert places[:2] == [(0.0, 0.0), (1.0, 0.0)]
    assert places[2][1] > 0
    weights = [dict(model.named_parameters()) for model in models]
    unit = distance(weights[0], weights[1])
    assert plane.provenance["norms"] == pytest.approx([unit, unit], rel=1e-12)
    assert plane.provenance["cosine"] == pytest.approx(0, abs=1e-12)
    for (x, y), model, expected in zip(places, models, weights, strict=True):
        assert distance(plane.at(x, y), expected) < 1e-12
        estimate = found.evaluate(plane.at(x, y), buffers=plane.buffers_at(x, y))["train"]["loss"]
        assert estimate.value == pytest.approx(loss_of(model), rel=1e-9)
    for i, j in itertools.combinations(range(3), 2):
        assert unit * math.dist(places[i], places[j]) == pytest.approx(distance(weights[i], weights[j]), rel=1e-12)


def test_buffers_between_three_models_are_blended_as_the_weights_are() -> None:
    models = [network(seed) for seed in (1, 2, 3)]
    plane = plane_through(objective(models[0]), models[1].state_dict(), models[2].state_dict())
    for x, y in ((0.3, 0.4), (-0.5, 0.2), (1.4, -0.1)):
        columns = torch.stack([torch.cat([p.flatten() for p in model.parameters()]) for model in models], dim=1)
        point = torch.cat([columns.T.new_ones(1), flatten(plane.at(x, y))])
        system = torch.cat([torch.ones(1, 3).double(), columns])
        shares = torch.linalg.lstsq(system, point).solution  # barycentric coordinates, found from the weights alone
        buffers = plane.buffers_at(x, y)
        assert buffers is not None
        means = torch.stack([model[1].running_mean for model in models], dim=1)
        variances = torch.stack([model[1].running_var for model in models], dim=1)
        torch.testing.assert_close(buffers["1.running_mean"], means @ shares, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(buffers["1.running_var"], (variances.log() @ shares).exp(), rtol=1e-8, atol=0)


def test_a_plane_is_rebuilt_from_its_provenance_to_the_bit() -> None:
    found, (b, c) = objective(), (network(seed).state_dict() for seed in (2, 3))
    plane = plane_through(found, b, c)
    again = plane_through(found, b, c, geometry=Triangle.from_provenance(plane.provenance))
    assert again.provenance == plane.provenance
    assert triangle(found.origin, b, c).extent == plane.extent


def test_three_models_on_a_line_span_no_plane() -> None:
    found, b = objective(), network(2).state_dict()
    middle = {name: 0.3 * w + 0.7 * b[name] for name, w in network(1).state_dict().items()}
    for third in (middle, b, network(1).state_dict()):
        with pytest.raises(LandscapeError, match="lie on a line"):
            plane_through(found, b, third)
    with pytest.raises(LandscapeError, match="lie on a line"):
        plane_through(found, network(1).state_dict(), b)


# ---- axes


@given(
    points=st.integers(3, 101),
    low=st.floats(-1e3, 0),
    high=st.floats(1e-3, 1e3),
    margin=st.floats(0, 2),
)
@settings(deadline=None, max_examples=60)
def test_axes_of_known_points_cover_them_and_hold_zero(points: int, low: float, high: float, margin: float) -> None:
    axis = covering_axis(points, low, high, margin=margin)
    size, step = high - low, axis[1] - axis[0]
    assert len(axis) == points
    assert 0.0 in axis
    assert axis[0] <= low - margin * size + 1e-6 * step
    assert axis[-1] >= high + margin * size - 1e-6 * step
    np.testing.assert_allclose(np.diff(axis), step, rtol=1e-9)
    assert step <= 1.02 * (1 + 2 * margin) * size / (points - 2)
    np.testing.assert_array_equal(axis, covering_axis(points, low * (1 + 1e-15), high * (1 + 1e-15), margin=margin))


@pytest.mark.parametrize("arguments", [(2, -1, 1), (5, 0, 0), (5, 1, 2), (5, 0, math.inf)])
def test_axes_around_nothing_are_refused(arguments: Any) -> None:
    with pytest.raises(LandscapeError, match="expected"):
        covering_axis(*arguments)


def test_a_plane_cannot_be_changed() -> None:
    plane = random_plane(objective())
    with pytest.raises(dataclasses.FrozenInstanceError):
        plane.provenance = {}  # type: ignore[misc]
