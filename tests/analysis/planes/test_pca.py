"""The plane of a training trajectory against a singular value decomposition, and scikit-learn's PCA."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import flatten
from landscape.analysis.planes import pca_plane, principal_components
from landscape.analysis.planes.pca import gram_matrix, rebuild_plane
from landscape.errors import LandscapeError

INPUTS, LABELS = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])


def states(count: int, seed: int = 0) -> list[dict[str, Tensor]]:
    """Return weights along a random walk, the last ones the final weights."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"weight": (3, 4), "bias": (3,)}
    now = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    walk = []
    for _ in range(count):
        now = {
            name: w + 0.3 * torch.randn(w.shape, generator=generator, dtype=torch.float64) for name, w in now.items()
        }
        walk.append(now)
    return walk


def ending_at(state: dict[str, Tensor], **options: Any) -> Objective:
    model = nn.Linear(4, 3).double()
    model.load_state_dict(state)
    return Objective(model, "cross_entropy", INPUTS, LABELS, device="cpu", precision="float64", **options)


def matrix(walk: Sequence[dict[str, Tensor]], origin: dict[str, Tensor]) -> np.ndarray:
    rows = [np.concatenate([(s[name] - w).numpy().ravel() for name, w in origin.items()]) for s in walk]
    return np.array(rows)


def test_directions_are_the_singular_vectors_and_the_rest_follows() -> None:
    walk = states(7)
    plane, way = pca_plane(ending_at(walk[-1]), walk)
    differences = matrix(walk, plane.origin)
    left, sizes, right = np.linalg.svd(differences, full_matrices=False)
    for k, direction in enumerate(plane.directions):
        found = flatten(direction).numpy()
        assert abs(found @ right[k]) == pytest.approx(1, rel=1e-12)
        assert np.linalg.norm(found) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(way.explained, np.append(sizes[:6], 0) ** 2 / (sizes**2).sum(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.abs(way.alpha), np.abs(left[:, 0] * sizes[0]), atol=1e-12)
    np.testing.assert_allclose(np.abs(way.beta), np.abs(left[:, 1] * sizes[1]), atol=1e-12)
    rest = differences - (left[:, :2] * sizes[:2]) @ right[:2]
    np.testing.assert_allclose(way.residuals, np.linalg.norm(rest, axis=1), atol=1e-7)
    np.testing.assert_allclose(way.distances, np.linalg.norm(differences, axis=1), atol=1e-7)
    assert way.alpha[np.abs(way.alpha).argmax()] > 0
    assert way.beta[np.abs(way.beta).argmax()] > 0
    for x, y, state, residual in zip(way.alpha, way.beta, walk, way.residuals, strict=True):
        offset = flatten(plane.at(x, y)) - flatten({name: state[name] for name in plane.origin})
        assert offset.norm().item() == pytest.approx(residual, abs=1e-7)


def test_centred_it_is_scikit_learns_pca() -> None:
    walk = states(6, seed=1)
    plane, way = pca_plane(ending_at(walk[-1]), walk, centred=True)
    fitted = PCA().fit(matrix(walk, plane.origin))
    for direction, expected in zip(plane.directions, fitted.components_, strict=False):
        assert abs(flatten(direction).numpy() @ expected) == pytest.approx(1, rel=1e-10)
    np.testing.assert_allclose(way.explained, fitted.explained_variance_ratio_, atol=1e-12)
    assert plane.provenance["centred"] is True
    assert (way.alpha[-1], way.beta[-1]) == pytest.approx((0, 0), abs=1e-12)  # the plane goes through the final weights


def test_a_trajectory_in_a_plane_lies_on_it() -> None:
    end = states(1)[0]
    one, other = states(2, seed=5)
    turns = np.linspace(0, 5, 9)
    walk = [{n: w + np.cos(t) * t * one[n] + np.sin(t) * t * other[n] for n, w in end.items()} for t in turns[::-1]]
    plane, way = pca_plane(ending_at(end), walk, positions=np.arange(9) / 2)
    assert way.explained[:2].sum() == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(way.residuals, 0, atol=1e-6)
    assert way.position.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert way.attributes["directions"]["hashes"] == plane.provenance["hashes"]
    assert way.attributes["position"] == "epoch"
    (left, right), (low, high) = plane.extent
    assert left <= way.alpha.min()
    assert right >= way.alpha.max()
    assert low <= way.beta.min()
    assert high >= way.beta.max()


class Counted(Sequence[dict[str, Tensor]]):
    """States that are read when asked for; counts how often, and how many are asked for in one go."""

    def __init__(self, walk: list[dict[str, Tensor]]) -> None:
        self.walk, self.read = walk, 0

    def __len__(self) -> int:
        return len(self.walk)

    def __getitem__(self, index: Any) -> Any:
        self.read += 1
        return self.walk[index]


def test_little_memory_reads_more_often_and_gives_the_same() -> None:
    walk = states(7)
    origin = {name: w.clone() for name, w in walk[-1].items()}
    whole, blocks = Counted(walk), Counted(walk)
    expected = matrix(walk, origin) @ matrix(walk, origin).T
    np.testing.assert_allclose(gram_matrix(origin, whole), expected, rtol=1e-12)
    np.testing.assert_allclose(gram_matrix(origin, blocks, memory=2 * 15 * 8 * 3), expected, rtol=1e-12)
    assert whole.read == 7
    assert blocks.read == 3 + 3 + 1 + 3 + 1 + 1  # blocks of three: (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)


def test_the_plane_is_rebuilt_from_its_provenance_to_the_bit() -> None:
    walk = states(5)
    plane, _ = pca_plane(ending_at(walk[-1]), walk)
    assert rebuild_plane(plane.origin, walk, plane.provenance).provenance == plane.provenance


def test_only_what_moves_counts() -> None:
    walk = states(5)
    plane, way = pca_plane(ending_at(walk[-1], params="weight"), walk)
    assert list(plane.origin) == ["weight"]
    moved = [{"weight": s["weight"]} for s in walk]
    np.testing.assert_allclose(way.distances, np.linalg.norm(matrix(moved, plane.origin), axis=1), atol=1e-7)


@given(count=st.integers(3, 8), seed=st.integers(0, 1000), centred=st.booleans())
@settings(deadline=None, max_examples=25)
def test_distances_add_up(count: int, seed: int, centred: bool) -> None:
    walk = states(count, seed)
    found = principal_components(gram_matrix(walk[-1], walk), centred=centred)
    squares = (found.coordinates**2).sum(1) + found.residuals**2
    np.testing.assert_allclose(squares, found.distances**2, rtol=1e-6, atol=1e-10)
    assert (np.diff(found.explained) <= 1e-15).all()
    assert found.explained.sum() == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2])
def test_a_line_is_no_plane(count: int) -> None:
    walk = states(count)
    with pytest.raises(LandscapeError, match="span no plane"):
        pca_plane(ending_at(walk[-1]), walk)
    straight = [{n: (1 + t) * w for n, w in walk[0].items()} for t in (3, 2, 1, 0)]
    with pytest.raises(LandscapeError, match="span no plane"):
        pca_plane(ending_at(walk[0]), straight)


def test_a_snapshot_of_another_model_is_named() -> None:
    walk = states(4)
    del walk[1]["bias"]
    with pytest.raises(LandscapeError, match=r"snapshot 2 of 4: .*bias is \(3,\) in the first and nothing"):
        pca_plane(ending_at(walk[-1]), walk)
