"""Surfaces against closed forms, the objective itself, and the Hessian's quadratic form."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from cases.surface_problem import DATA, IMAGES, LABELS, N, classifier, small_network
from cases.surfaces import surface_in_parts
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.analysis.connectivity.bezier import curve_through
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import dot, flatten, unflatten
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.planes import Plane, line_between, pca_plane, plane_through, random_plane
from landscape.analysis.planes.axes import axis, between_axis
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.surface import empty_surface, surface
from landscape.errors import LandscapeError
from landscape.results import LineResult, SurfaceResult, points_table

SETTINGS = EvaluationSettings("float64", None, 7)
EXACT = Evaluation(settings=SETTINGS)


class Quadratic(nn.Module):
    """½ (w − x)ᵀ A (w − x) for each example x: the mean over examples is known in closed form."""

    def __init__(self, A: Tensor, w: Tensor) -> None:
        super().__init__()
        self.A = nn.Buffer(A)
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        rest = self.w - x
        return 0.5 * torch.einsum("bi,ij,bj->b", rest, self.A, rest)


def identity(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs


def quadratic(n: int = 6, *, centred: bool = False) -> tuple[Objective, Quadratic, Tensor]:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(n, n, generator=generator, dtype=torch.float64)
    w = torch.zeros(n).double() if centred else torch.randn(n, generator=generator, dtype=torch.float64)
    model = Quadratic(root @ root.T, w)
    x = torch.randn(N, n, generator=generator, dtype=torch.float64)
    if centred:
        x = torch.cat([x, -x])
    return Objective(model, identity, x, torch.zeros(len(x)), device="cpu", precision="float64"), model, x


def draws(count: int, n: int) -> list[Tensor]:
    return [torch.randn(n, generator=torch.Generator().manual_seed(10 + i), dtype=torch.float64) for i in range(count)]


def plane_of(found: Objective, *directions: Tensor) -> Plane:
    return Plane(found.origin, tuple({"w": d} for d in directions), {"kind": "random"})


CLASSIFIER = classifier(precision="float32")  # shared where many examples are drawn
ONE_SPLIT = Objective(small_network(), "cross_entropy", IMAGES, LABELS, device="cpu")


def test_a_quadratic_s_plane_is_its_closed_form_and_lies_the_right_way_round() -> None:
    found, model, x = quadratic()
    d, e = draws(2, 6)
    result = surface(found, plane_of(found, d, e), axes=Axes((7, 5), span=2.0), evaluation=EXACT)
    assert isinstance(result, SurfaceResult)
    grid, stderr = result.grid("loss"), result.grid("loss", column="stderr")
    assert grid.shape == (1, 5, 7)  # [split, y, x]
    assert result.alpha.tolist() == pytest.approx([-2, -4 / 3, -2 / 3, 0, 2 / 3, 4 / 3, 2])
    assert result.beta.tolist() == [-2, -1, 0, 1, 2]
    A, w = model.A.numpy(), model.w.detach().numpy()
    for i, b in enumerate(result.beta):
        for j, a in enumerate(result.alpha):
            rest = w + a * d.numpy() + b * e.numpy() - x.numpy()
            values = 0.5 * np.einsum("bi,ij,bj->b", rest, A, rest)
            assert grid[0, i, j] == pytest.approx(values.mean(), rel=1e-12)
            assert stderr[0, i, j] == pytest.approx(values.std(ddof=1) / np.sqrt(N), rel=1e-9)
    assert (result.grid("loss", column="n") == N).all()
    assert result.complete


def test_a_line() -> None:
    found, model, x = quadratic()
    (d,) = draws(1, 6)
    result = surface(found, plane_of(found, d), points=5, evaluation=EXACT)
    assert isinstance(result, LineResult)
    A, w = model.A.numpy(), model.w.detach().numpy()
    rest = w + result.alpha[:, None, None] * d.numpy() - x.numpy()
    expected = 0.5 * np.einsum("abi,ij,abj->ab", rest, A, rest).mean(1)
    np.testing.assert_allclose(result.grid("loss"), expected[None], rtol=1e-12)


def test_a_symmetric_loss_has_a_symmetric_surface() -> None:
    found, _, _ = quadratic(centred=True)
    grid = surface(found, plane_of(found, *draws(2, 6)), points=(5, 7), evaluation=EXACT).grid("loss")[0]
    np.testing.assert_allclose(grid, grid[::-1, ::-1], rtol=1e-12)
    assert grid[3, 2] == grid.min()
    assert abs(grid[0, 0] - grid[0, -1]) > 1e-3  # and only by the point at the centre


def test_the_centre_is_the_objective_s_loss_on_every_split() -> None:
    found = classifier()
    result = surface(
        found, points=(3, 5), evaluation=Evaluation(settings=EvaluationSettings("float64", None, found.batch_size))
    )
    values = found.evaluate()
    for s, split in enumerate(("train", "test")):
        for metric in ("loss", "accuracy"):
            assert result.grid(metric)[s, 2, 1] == values[split][metric].value
            assert result.grid(metric, column="stderr")[s, 2, 1] == values[split][metric].stderr
    assert result.splits == ("train", "test")


def test_a_surface_is_that_of_the_reference_code_s_formula() -> None:
    """crunch, set_weights, eval_loss of tomgoldstein/loss-landscape, written anew in float64: loss and accuracy."""
    found = classifier()
    plane = random_plane(found, seed=4)
    result = surface(
        found,
        plane,
        axes=Axes((5, 3), span=1.5),
        evaluation=Evaluation(settings=EvaluationSettings("float64", None, 6)),
    )
    network = small_network().double().eval()
    start = [p.detach().clone() for p in network.parameters()]
    dx, dy = ([d[name] for name, _ in network.named_parameters()] for d in plane.directions)
    for w, d in zip(start, dx, strict=True):  # what the paper draws: filters of the weights' own norms, biases still
        expected = w.flatten(1).norm(dim=1) if w.ndim > 1 else torch.zeros(len(w))
        torch.testing.assert_close(d.reshape(len(d), -1).norm(dim=1), expected.to(d))
    for i, y in enumerate(result.beta):  # type: ignore[union-attr]
        for j, x in enumerate(result.alpha):
            for p, w, d0, d1 in zip(network.parameters(), start, dx, dy, strict=True):
                p.data = w + (d0 * x + d1 * y)
            for s, (images, labels) in enumerate(DATA.values()):
                total, correct = 0.0, 0
                for part, targets in zip(images.double().split(6), labels.split(6), strict=True):
                    outputs = network(part)
                    total += nn.functional.cross_entropy(outputs, targets).item() * len(part)
                    correct += int(outputs.max(1)[1].eq(targets).sum())
                assert result.grid("loss")[s, i, j] == pytest.approx(total / len(labels), rel=1e-10)
                assert result.grid("accuracy")[s, i, j] == pytest.approx(correct / len(labels), rel=1e-12)


def test_the_curvature_at_the_centre_is_the_hessian_s_quadratic_form() -> None:
    found = classifier()
    plane = random_plane(found, seed=3)
    h = 1e-3
    grid = surface(found, plane, axes=Axes(3, span=h), evaluation=EXACT).grid("loss")[0]
    d, e = plane.directions
    Hd, He = (unflatten(CurvatureOperator(found)(flatten(v)), found.origin) for v in (d, e))
    assert (grid[1, 0] - 2 * grid[1, 1] + grid[1, 2]) / h**2 == pytest.approx(dot(d, Hd), rel=1e-4)
    assert (grid[0, 1] - 2 * grid[1, 1] + grid[2, 1]) / h**2 == pytest.approx(dot(e, He), rel=1e-4)
    mixed = (grid[2, 2] - grid[2, 0] - grid[0, 2] + grid[0, 0]) / (4 * h**2)
    assert mixed == pytest.approx(dot(d, He), rel=1e-4)
    assert (grid[1, 2] - grid[1, 0]) / (2 * h) == pytest.approx(dot(d, found.gradient()[1]), rel=1e-4)


def test_precisions_agree_within_their_rounding() -> None:
    found = classifier(precision="float32")
    grids: dict[str, NDArray[Any]] = {}
    for precision in ("float64", "float32", "bfloat16"):
        result = surface(found, points=5, evaluation=Evaluation(settings=EvaluationSettings(precision, None, N)))  # type: ignore[arg-type]
        assert result.attributes["precision"] == precision
        grids[precision] = result.grid("loss")
    np.testing.assert_allclose(grids["float32"], grids["float64"], rtol=1e-5)
    np.testing.assert_allclose(grids["bfloat16"], grids["float64"], rtol=3e-2)
    assert not np.allclose(grids["bfloat16"], grids["float32"], rtol=1e-6)  # it was really taken
    assert not np.array_equal(grids["float32"], grids["float64"])


def test_divergence_is_kept_and_counts_as_computed() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.log1p(self.w) * x[:, 0]  # −inf at w = −1, NaN below

    found = Objective(Fragile(), identity, torch.ones(4, 1), torch.zeros(4), device="cpu", precision="float64")
    plane = Plane(found.origin, ({"w": torch.ones(1).double()},), {})
    result = surface(found, plane, axes=Axes(5, span=2.0), evaluation=EXACT)
    grid = result.grid("loss")[0]
    assert np.isnan(grid[0])
    assert grid[1] == -np.inf
    assert grid[2:] == pytest.approx(np.log1p([0, 1, 2]))
    assert result.complete


def states(count: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    own = small_network().double().state_dict()
    return [
        {n: w + (torch.rand(w.shape, generator=generator) if w.is_floating_point() else 0) for n, w in own.items()}
        for _ in range(count)
    ]


def test_the_axes_of_a_curve_run_from_one_model_to_the_other() -> None:
    found = classifier()
    other, control = states(2)
    for plane in (line_between(found, other), curve_through(found, other, control)):
        line = surface(found, plane, points=5, evaluation=EXACT)
        assert isinstance(line, LineResult)
        assert line.alpha.tolist() == [0, 0.25, 0.5, 0.75, 1]
        end = Objective(small_network(), "cross_entropy", DATA, device="cpu", precision="float64")
        expected = end.evaluate({n: other[n] for n in end.origin}, buffers={n: other[n] for n in end.network.buffers})
        assert line.grid("loss")[0, -1] == pytest.approx(expected["train"]["loss"].value, rel=1e-9)


def test_the_axes_of_planes_through_known_points_cover_them_and_these_are_stored() -> None:
    found = classifier()
    through = plane_through(found, *states(2), labels=("a", "b", "c"))
    plane = surface(found, through, points=(5, 6), evaluation=EXACT)
    assert isinstance(plane, SurfaceResult)
    marks = plane.attributes["marks"]
    assert [mark["label"] for mark in marks] == ["a", "b", "c"]
    for mark in marks:
        assert plane.alpha[0] < mark["alpha"] < plane.alpha[-1]
        assert plane.beta[0] < mark["beta"] < plane.beta[-1]
    principal, way = pca_plane(found, states(4))
    plane = surface(found, principal, points=5, evaluation=EXACT)
    assert isinstance(plane, SurfaceResult)
    for coordinates, axis_of in ((way.alpha, plane.alpha), (way.beta, plane.beta)):
        assert axis_of[0] < min(coordinates.min(), 0)
        assert axis_of[-1] > max(coordinates.max(), 0)
        assert 0.0 in axis_of
    assert "marks" not in surface(found, points=3, evaluation=EXACT).attributes


def test_points_already_done_are_skipped_and_the_join_is_the_same_to_the_bit() -> None:
    found = classifier(precision="float32")
    plane, settings = random_plane(found), EvaluationSettings("float32", None, 8)
    seen: list[NDArray[Any]] = []
    whole = surface_in_parts(found, plane, Axes((5, 3)), settings, on_point=seen.append)
    assert len(seen) == 15
    assert all(len(rows) == 2 * 2 for rows in seen)  # splits × metrics
    np.testing.assert_array_equal(np.concatenate(seen), whole.points)
    rest: list[NDArray[Any]] = []
    done = np.concatenate(seen[:6])
    joined = surface_in_parts(found, plane, Axes((5, 3)), settings, done=done, on_point=rest.append)
    assert len(rest) == 9
    np.testing.assert_array_equal(joined.points, whole.points)
    assert joined.grid("loss").tobytes() == whole.grid("loss").tobytes()
    nothing: list[NDArray[Any]] = []
    again = surface_in_parts(found, plane, Axes((5, 3)), settings, done=joined.points, on_point=nothing.append)
    assert nothing == []
    np.testing.assert_array_equal(again.points, whole.points)


COORDINATES = st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=5, unique_by=lambda x: x + 0.0).map(sorted)


@pytest.mark.filterwarnings("ignore:the .* loss is exactly")  # points so near each other that the loss is the same
@settings(max_examples=25, deadline=None)
@given(alpha=COORDINATES, beta=st.none() | COORDINATES, both=st.booleans(), data=st.data())
def test_any_grid_has_its_shape_and_any_stop_costs_no_bit(alpha: Any, beta: Any, both: bool, data: Any) -> None:
    found = CLASSIFIER if both else ONE_SPLIT
    plane = random_plane(found, dimensions=1 if beta is None else 2)
    axes = Axes(alpha=tuple(alpha), beta=None if beta is None else tuple(beta))
    settings = EvaluationSettings("float32", None, 8)
    seen: list[NDArray[Any]] = []
    whole = surface_in_parts(found, plane, axes, settings, on_point=seen.append)
    shape = (len(alpha),) if beta is None else (len(beta), len(alpha))
    assert whole.grid("loss").shape == (1 + both, *shape)
    assert whole.complete
    assert len(seen) == math.prod(shape)
    kept = data.draw(st.sets(st.integers(0, len(seen) - 1)))
    done = [seen[i] for i in data.draw(st.permutations(sorted(kept)))]
    rest: list[NDArray[Any]] = []
    earlier = np.concatenate([points_table([]), *done])
    joined = surface_in_parts(found, plane, axes, settings, done=earlier, on_point=rest.append)
    assert len(rest) == len(seen) - len(kept)
    assert joined.points.tobytes() == whole.points.tobytes()


def test_points_of_another_fidelity_level_are_not_done() -> None:
    found, _, _ = quadratic()
    plane = plane_of(found, *draws(2, 6))
    done = surface(found, plane, points=3, evaluation=EXACT).points.copy()
    done["level"] = 1
    seen: list[Any] = []
    result = surface_in_parts(found, plane, Axes(3), SETTINGS, done=done, on_point=seen.append)
    assert len(seen) == 9
    assert result.complete
    assert np.isfinite(result.grid("loss", level=1)).all()


def test_an_empty_result_has_the_axes_and_nothing_else() -> None:
    found = classifier()
    nothing = empty_surface(found, (axis(3, 1.0), axis(5, 2.0)), {"seed": 1})
    assert nothing.shape == (5, 3)
    assert not nothing.computed().any()
    assert isinstance(empty_surface(found, (axis(3, 1.0), None), {}), LineResult)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 4}, "got 4 points; expected an odd number of at least 3"),
        ({"points": (5, 2)}, "got 2 points"),
        ({"points": 0}, "got 0 points"),
        ({"points": -3}, "got -3 points"),
        ({"points": 1}, "got 1 points"),
        ({"span": 0.0}, "got a span of 0.0; expected a positive number"),
        ({"span": -1.0}, "got a span of -1.0"),
        ({"span": float("nan")}, "got a span of nan"),
        ({"span": float("inf")}, "got a span of inf"),
        ({"alpha": (0.0, 1.0, 0.5)}, "ascending"),
        ({"beta": (0.0, 0.0)}, "ascending"),
        ({"alpha": ()}, "ascending"),
        ({"beta": (0.0, math.nan)}, "ascending"),
    ],
)
def test_unusable_axes_get_one_clear_line(options: dict[str, Any], message: str) -> None:
    found, _, _ = quadratic()
    with pytest.raises(LandscapeError, match=message) as error:
        surface(found, plane_of(found, *draws(2, 6)), axes=Axes(**{"points": 3, **options}), evaluation=EXACT)
    assert "\n" not in str(error.value)


def test_attributes_say_how_to_repeat_it() -> None:
    found = classifier(params="4.*")
    attributes = surface(found, points=3, seed=6, evaluation=EXACT).attributes
    assert attributes["directions"]["seed"] == 6
    assert len(attributes["directions"]["hashes"]) == 2
    assert attributes["parameters"] == 16 * 3 + 3
    assert attributes["params"] == "4.*"
    assert attributes["splits"] == ["train", "test"]
    assert attributes["examples"] == {"train": N, "test": 9}
    assert attributes["loss"] == "cross_entropy"
    assert (attributes["path"], attributes["batchnorm"], attributes["device"]) == ("folded", "fixed", "cpu")
    assert attributes["threads"] == torch.get_num_threads()


def test_the_line_between_two_models_has_both_losses_at_its_ends() -> None:
    found = classifier()
    other = small_network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)))
        other[1].running_mean.add_(0.5)
        other[1].running_var.mul_(3.0)
    second = Objective(other, "cross_entropy", DATA, device="cpu", precision="float64")
    plane = line_between(found, other.state_dict())
    settings = EvaluationSettings("float64", None, found.batch_size)
    line = surface(
        found, plane, axes=Axes(alpha=tuple(between_axis(5, 0.25))), evaluation=Evaluation(settings=settings)
    )
    grid, alpha = line.grid("loss"), line.alpha.tolist()
    for s, split in enumerate(("train", "test")):
        assert grid[s, alpha.index(0.0)] == found.loss(split=split)
        assert grid[s, alpha.index(1.0)] == pytest.approx(second.loss(split=split), rel=1e-12)
    assert grid[0, alpha.index(0.5)] != pytest.approx((grid[0, 1] + grid[0, -2]) / 2, rel=1e-3)
