"""Snapshots of a run: which files, in which order, at which positions."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import pca_plane
from landscape.analysis.planes.snapshots import Snapshots, find_snapshots
from landscape.errors import LandscapeError


def write(folder: Path, name: str, value: float) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"weight": torch.full((2, 2), value), "bias": torch.tensor([value**2, 1.0])}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}, path)
    return path


def values(snapshots: Snapshots) -> list[float]:
    return [state["weight"][0, 0].item() for state in snapshots]


def test_a_folder_in_the_order_of_its_epochs(tmp_path: Path) -> None:
    for epoch in ("0010", "0000", "0003.25", "0003"):
        write(tmp_path, f"epoch-{epoch}.safetensors", float(epoch))
    write(tmp_path, "final.safetensors", 99.0)  # no snapshot of ours
    (tmp_path / "notes.txt").write_text("epoch-0001")
    found = find_snapshots(tmp_path)
    assert found.positions == (0, 3, 3.25, 10)
    assert values(found) == [0, 3, 3.25, 10]


def test_a_folder_of_other_names_in_natural_order(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        write(tmp_path, f"run7-step{step}.pt", float(step))
    found = find_snapshots(tmp_path, names=["weight", "bias"])
    assert found.positions == (2, 9, 10)
    assert values(found) == [2, 9, 10]


def test_a_list_keeps_its_order_and_is_numbered_where_names_do_not_say(tmp_path: Path) -> None:
    paths = [write(tmp_path, name, value) for name, value in (("b.pt", 5.0), ("a.safetensors", 6.0))]
    assert Snapshots(paths).positions == (0, 1)
    assert values(Snapshots(paths)) == [5, 6]
    falling = [write(tmp_path, f"{n}.pt", float(n)) for n in (3, 1)]
    assert Snapshots(falling).positions == (0, 1)
    assert values(Snapshots(falling)) == [3, 1]
    assert values(Snapshots([*paths, *falling])[1:3]) == [6, 3]


def test_files_are_read_only_when_asked_for(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"{n}.safetensors", float(n)) for n in range(3)]
    found = Snapshots(paths)
    paths[1].write_bytes(b"torn")
    assert found[2]["weight"][0, 0] == 2
    with pytest.raises(LandscapeError, match="truncated"):
        found[1]


def test_they_make_a_pca_plane(tmp_path: Path) -> None:
    for n in range(4):
        write(tmp_path, f"epoch-{n:04d}.safetensors", float(n))
    model = torch.nn.Linear(2, 2)
    model.load_state_dict(find_snapshots(tmp_path)[3])
    objective = Objective(model, "mse", torch.ones(3, 2), torch.ones(3, 2), device="cpu")
    found = find_snapshots(tmp_path)
    plane, way = pca_plane(objective, found, positions=found.positions)
    assert way.position.tolist() == [0, 1, 2, 3]
    assert way.distances[-1] == 0
    assert way.distances[0] == pytest.approx((4 * 3**2 + (3**2) ** 2) ** 0.5)
    assert plane.provenance["norms"] == pytest.approx([1, 1])


def test_a_folder_that_is_none_or_holds_too_little(tmp_path: Path) -> None:
    with pytest.raises(LandscapeError, match=r"no folder .* train with --snapshots"):
        find_snapshots(tmp_path / "none")
    write(tmp_path, "epoch-0001.safetensors", 1.0)
    with pytest.raises(LandscapeError, match="holds 1 weight files; expected"):
        find_snapshots(tmp_path)
