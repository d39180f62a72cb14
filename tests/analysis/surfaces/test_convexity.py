"""Convexity maps against dense float64 Hessians at every point of the grid."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.planes.plane import make_plane
from landscape.analysis.surfaces.convexity import convexity, measure_convexity
from landscape.analysis.surfaces.convexity_task import METRICS, QUICK_PRODUCTS, ConvexitySettings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.errors import LandscapeError
from landscape.results import ConvexityResult

TOLERANCE = 0.02


def problem(*, precision: Any = "float64", width: int = 12, seed: int = 0, activation: Any = nn.Tanh) -> Objective:
    """A small network on data that it has not learnt: its Hessian has both signs."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, width), activation(), nn.Linear(width, 4))
    x, y = torch.randn(30, 5), torch.randint(0, 4, (30,))
    return Objective(model, "cross_entropy", x, y, precision=precision, device="cpu")


def dense(objective: Objective, plane: Plane, a: float, b: float) -> np.ndarray:
    """Return all eigenvalues at a point, ascending, from torch's own dense Hessian in float64."""
    weights = {name: w.double() for name, w in plane.at(a, b).items()}
    model = objective.network.module.double()
    inputs, targets, _ = next(objective.batches())
    sizes = [w.numel() for w in weights.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(weights.items(), flat.split(sizes), strict=True)
        moved = {name: part.view_as(w) for (name, w), part in parts}
        outputs = torch.func.functional_call(model, moved, (inputs.double(),))
        return nn.functional.cross_entropy(outputs, targets)

    H = torch.func.hessian(loss)(torch.cat([w.flatten() for w in weights.values()]))
    return np.linalg.eigvalsh(((H + H.T) / 2).detach().numpy())


def cells(found: ConvexityResult) -> list[tuple[float, float, dict[str, tuple[float, float]]]]:
    """Return (α, β, {metric: (value, bound)}) of each point."""
    grids = {m: (found.grid(m)[0], found.grid(m, column="bound")[0]) for m in found.metrics}
    return [
        (float(a), float(b), {m: (float(v[y, x]), float(e[y, x])) for m, (v, e) in grids.items()})
        for y, b in enumerate(found.beta)
        for x, a in enumerate(found.alpha)
    ]


def check(found: ConvexityResult, spectra: dict[tuple[float, float], np.ndarray], slack: float = 1e-9) -> None:
    """Check every claim of a map against all eigenvalues at each of its points."""
    for a, b, point in cells(found):
        exact = spectra[a, b]
        slack_here = slack * abs(exact).max()
        top, above = point["lambda_max"]
        bottom, below = point["lambda_min"]
        assert top - slack_here <= exact[-1] <= top + above + slack_here
        assert bottom - below - slack_here <= exact[0] <= bottom + slack_here
        ratio, error = point["convexity"]
        assert ratio == pytest.approx(abs(bottom / top))
        assert abs(ratio - abs(exact[0] / exact[-1])) <= error + 10 * slack


def errors(found: ConvexityResult, spectra: dict[tuple[float, float], np.ndarray]) -> np.ndarray:
    """Return the larger error of each point's eigenvalues, relative to the one of larger magnitude."""
    return np.array(
        [
            max(abs(point["lambda_max"][0] - exact[-1]), abs(point["lambda_min"][0] - exact[0])) / abs(exact).max()
            for a, b, point in cells(found)
            for exact in [spectra[a, b]]
        ]
    )


def spread(found: ConvexityResult) -> np.ndarray:
    """Return the larger bound of each point, relative to the eigenvalue of larger magnitude, (Y, X)."""
    names = ("lambda_max", "lambda_min")
    bounds = np.maximum(*(found.grid(name, column="bound")[0] for name in names))
    return bounds / np.maximum(*(abs(found.grid(name)[0]) for name in names))


@pytest.fixture(scope="module")
def case() -> tuple[Objective, Plane, dict[tuple[float, float], np.ndarray]]:
    objective = problem()
    plane = random_plane(objective, seed=3)
    points = [(a, b) for a in np.linspace(-1, 1, 5).tolist() for b in np.linspace(-1, 1, 3).tolist()]
    return objective, plane, {(a, b): dense(objective, plane, a, b) for a, b in points}


AXES = Axes((5, 3))


def test_every_point_is_proven_to_the_tolerance(case) -> None:
    objective, plane, spectra = case
    found = convexity(objective, plane, axes=AXES, tolerance=TOLERANCE)
    assert found.metrics == METRICS
    assert found.complete
    check(found, spectra)
    assert (spread(found) <= TOLERANCE * (1 + 1e-9)).all()
    assert (errors(found, spectra) <= TOLERANCE).all()
    assert found.attributes["tolerance"] == TOLERANCE
    assert found.attributes["directions"]["hashes"] == plane.provenance["hashes"]
    assert found.attributes["operator"] == "hessian"


def test_from_the_neighbours_vectors_it_is_quicker_and_the_bounds_say_what_is_not_known(case) -> None:
    objective, plane, spectra = case
    found = convexity(objective, plane, axes=AXES, tolerance=TOLERANCE, quick=True)
    check(found, spectra)
    assert (spread(found)[:, 2] <= TOLERANCE * (1 + 1e-9)).all()  # the middle of each row
    others = np.delete(found.grid("products")[0], 2, axis=1)
    assert (others == QUICK_PRODUCTS).all()
    assert (spread(found) > TOLERANCE).sum() == others.size
    # The neighbour's vectors are worth something: as many products from a random vector alone leave larger errors.
    cold = convexity(objective, plane, axes=AXES, tolerance=TOLERANCE, max_products=QUICK_PRODUCTS)
    beside = np.ones(found.shape, dtype=bool)
    beside[:, 2] = False
    warm_errors, cold_errors = (errors(each, spectra)[beside.ravel()] for each in (found, cold))
    assert np.median(warm_errors) < 0.7 * np.median(cold_errors)


def test_in_float32_the_bounds_hold_but_for_rounding(case) -> None:
    _, _, spectra = case
    objective = problem(precision="float32")
    plane = random_plane(objective, seed=3)
    check(convexity(objective, plane, axes=AXES), spectra, slack=1e-4)


def jumping() -> tuple[Objective, Plane]:
    """Curvature that grows along a coordinate that the eigenvectors of the origin know nothing of.

    The loss is Σ c_i w_i³ / 6, its Hessian diag(c_i w_i).
    """

    class Cubes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(60, dtype=torch.float64))
            c = torch.linspace(-1, 1, 60, dtype=torch.float64)
            c[[0, 1, -2, -1]] = torch.tensor([-6.0, -4.0, 8.0, 10.0], dtype=torch.float64)
            self.register_buffer("c", c)

        def forward(self, x: Tensor) -> Tensor:
            return (self.c * self.w**3).sum() / 6 * torch.ones(len(x), dtype=self.w.dtype)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs

    objective = Objective(Cubes(), loss, torch.zeros(4, 1), torch.zeros(4), precision="float64", device="cpu")
    along = torch.zeros(60, dtype=torch.float64)
    along[40] = 200.0
    other = torch.zeros(60, dtype=torch.float64)
    other[1] = 1e-3
    return objective, make_plane(objective.origin, [{"w": along}, {"w": other}], {"kind": "user"})


def test_what_a_neighbour_knows_nothing_of_is_found_or_within_the_bound() -> None:
    objective, plane = jumping()
    axes = Axes(alpha=(0.0, 1.0), beta=(0.0,))
    right = [10.0, 201 * float(torch.linspace(-1, 1, 60)[40])]
    for most in (2, 3, 5, 100):
        found = convexity(objective, plane, axes=axes, quick=True, max_products=most)
        top, bound = found.grid("lambda_max")[0, 0], found.grid("lambda_max", column="bound")[0, 0]
        assert (top <= np.array(right) * (1 + 1e-9)).all()
        assert (right <= top + bound).all()
    sure = convexity(objective, plane, axes=axes)
    assert sure.grid("lambda_max")[0, 0].tolist() == pytest.approx(right, rel=0.05)


@pytest.mark.parametrize("quick", [False, True])
def test_a_stopped_map_goes_on_to_the_same_bits(case, quick: bool) -> None:
    objective, plane, _ = case
    axes = Axes(5, beta=(-1.0, 0.0))
    whole, tables = convexity(objective, plane, axes=axes, quick=quick), []

    def resume(done: np.ndarray, on_point: Any) -> ConvexityResult:
        begun = dataclasses.replace(whole, points=done)
        return measure_convexity(objective, plane, begun, ConvexitySettings(quick=quick), on_point=on_point)

    resume(whole.points[:0], tables.append)
    assert len(tables) == 10
    for stopped in (2, 7):
        again: list[Any] = []
        done = np.concatenate(tables[:stopped])
        found = resume(done, again.append)
        assert len(again) == 10 - stopped
        assert found.points.tobytes() == whole.points.tobytes()
    calls: list[Any] = []
    full = resume(whole.points, calls.append)
    assert not calls
    assert full.points.tobytes() == whole.points.tobytes()


def test_where_the_loss_diverges_the_map_is_empty_and_goes_on() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    objective = Objective(model, "mse", torch.randn(8, 3), torch.randn(8, 2), precision="float64", device="cpu")
    found = convexity(objective, axes=Axes(alpha=(-1.0, 0.0, 1e200), beta=(0.0, 1e200)))
    for metric in ("convexity", "lambda_min", "lambda_max"):
        np.testing.assert_array_equal(np.isnan(found.grid(metric)[0]), [[False, False, True], [True, True, True]])
    assert found.complete


def test_few_products_give_wider_bounds_that_still_hold(case) -> None:
    objective, plane, spectra = case
    found = convexity(objective, plane, axes=AXES, max_products=6)
    assert (found.grid("products") == 6).all()
    check(found, spectra)
    assert (spread(found) > TOLERANCE).all()


def test_what_cannot_be_is_refused() -> None:
    objective = problem()
    with pytest.raises(LandscapeError, match="this is a line"):
        convexity(objective, random_plane(objective, dimensions=1))
    with pytest.raises(LandscapeError, match="got a tolerance of 0"):
        convexity(objective, tolerance=0)
    with pytest.raises(LandscapeError, match="expected an odd number"):
        convexity(objective, points=4)
    single = Objective(nn.Linear(1, 1, bias=False), "mse", torch.ones(3, 1), torch.ones(3, 1), device="cpu")
    with pytest.raises(LandscapeError, match="one parameter"):
        convexity(single)


def test_a_loss_without_second_derivatives_is_an_error_and_no_empty_map() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, slope: Tensor) -> Tensor:
            raise RuntimeError("no derivative here")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return Once.apply(self.layer(x))

    objective = Objective(Model(), "mse", torch.randn(4, 3), torch.randn(4, 2), device="cpu")
    with pytest.raises(LandscapeError, match="cannot take second derivatives"):
        convexity(objective)
