import json
import math
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from landscape.models.checkpoint import load_checkpoint
from landscape.results import LineResult, SurfaceResult
from landscape.stats import number_format
from landscape.storage.loading import load

SMALL = ("--top", "1", "--max-products", "5", "--device", "cpu")
PLANE = ("--points", "5x3", "--precision", "float32")


def test_a_plane_of_two_checkpoints_shares_directions_and_settings(run, pair) -> None:
    outcome = run(
        "surface", pair.sam, pair.adam, *pair.data, *PLANE, "--normalization", "none", "--splits", "train,test"
    )
    assert outcome.code == 0
    assert "sam/plane" in outcome.out
    assert "next: landscape report results/sam+adam.h5 --open" in outcome.err
    results = load("results/sam+adam.h5")
    assert set(results) == {"sam/history", "adam/history", "sam/plane", "adam/plane"}
    sam, adam = results["sam/plane"], results["adam/plane"]
    assert isinstance(sam, SurfaceResult)
    assert sam.shape == (3, 5)
    assert sam.splits == ("train", "test")
    assert sam.metrics == ("loss", "accuracy")
    assert sam.complete
    # Un-normalized directions are the raw ones: the same to the bit.
    assert sam.attributes["directions"]["hashes"] == adam.attributes["directions"]["hashes"]
    for name in ("precision", "batch_size", "batchnorm", "subset", "seed", "threads"):
        assert sam.attributes[name] == adam.attributes[name]


def test_the_centre_is_the_recorded_loss(run, pair) -> None:
    run("surface", pair.sam, *pair.data, *PLANE, "--splits", "train,test", "--subset", "all")
    found, final = load("results/sam.h5")["sam/plane"], load_checkpoint(pair.sam).final
    for s, split in enumerate(("train", "test")):
        assert found.grid("loss")[s, 1, 2] == pytest.approx(final[f"{split}_loss"], rel=1e-5)
        assert found.grid("accuracy")[s, 1, 2] == pytest.approx(final[f"{split}_accuracy"], abs=1e-12)
    assert found.attributes["reference"]["agrees"] is True
    assert found.attributes["examples"] == {"train": 64, "test": 50}
    assert found.attributes["subset"] == "all"


def test_a_line(run, pair) -> None:
    assert run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "5", "--span", "0.5").code == 0
    line = load("results/sam.h5")["sam/line"]
    assert isinstance(line, LineResult)
    assert line.alpha.tolist() == [-0.5, -0.25, 0.0, 0.25, 0.5]


def test_between_two_checkpoints(run, pair) -> None:
    outcome = run(
        "surface",
        pair.sam,
        pair.adam,
        *pair.data,
        "--plane",
        "between",
        "--points",
        "3",
        "--beyond",
        "0.5",
        "--batchnorm",
        "fixed",
    )
    assert outcome.code == 0
    assert "barrier of the train loss" in outcome.err
    assert outcome.err.count("reproduces") == 2
    line = load("results/sam+adam.h5")["sam..adam/between"]
    assert line.alpha.tolist() == [-0.5, 0.0, 0.5, 1.0, 1.5]
    ends = line.grid("loss")[0][[1, 3]]
    finals = [load_checkpoint(path).final["train_loss"] for path in (pair.sam, pair.adam)]
    np.testing.assert_allclose(ends, finals, rtol=0.02)  # precision is automatic here
    assert {entry["label"] for entry in line.attributes["checkpoints"]} == {"sam", "adam"}


def test_the_table_shows_the_origin_of_a_line_that_starts_before_it(run, pair) -> None:
    options = ("--plane", "between", "--points", "3", "--beyond", "1", "--batchnorm", "fixed", "--precision", "float32")
    outcome = run("surface", pair.sam, pair.adam, *pair.data, *options)
    assert number_format.number(load_checkpoint(pair.sam).final["train_loss"]) in outcome.out


def test_the_same_command_again_finds_its_result(run, pair) -> None:
    first = run("surface", pair.sam, *pair.data, *PLANE)
    before = Path("results/sam.h5").read_bytes()
    again = run("surface", pair.sam, *pair.data, *PLANE)
    assert again.code == 0
    assert "sam/plane is already in results/sam.h5 with these settings" in again.err
    assert again.out == first.out
    assert Path("results/sam.h5").read_bytes() == before


def test_other_settings_are_added_under_a_new_name(run, pair) -> None:
    for options in ((), ("--seed", "1"), ("--subset", "50")):
        assert run("surface", pair.sam, *pair.data, *PLANE, *options).code == 0
    again = run("surface", pair.sam, *pair.data, *PLANE, "--seed", "1")
    assert "sam/plane-2 is already" in again.err
    results = load("results/sam.h5")
    assert [name for name in results if "plane" in name] == ["sam/plane", "sam/plane-2", "sam/plane-3"]
    assert results["sam/plane-2"].attributes["seed"] == 1
    assert results["sam/plane-3"].attributes["examples"] == {"train": 50}


def test_a_name_in_use_with_other_settings_is_refused(run, pair) -> None:
    run("surface", pair.sam, *pair.data, *PLANE, "--name", "mine")
    before = Path("results/sam.h5").read_bytes()
    run("surface", pair.sam, *pair.data, *PLANE, "--name", "mine", "--span", "2").refused(
        "sam/mine", "x axis", "[5, -1.0, 1.0] there and [5, -2.0, 2.0] here", "--overwrite"
    )
    assert Path("results/sam.h5").read_bytes() == before
    assert run("surface", pair.sam, *pair.data, *PLANE, "--name", "mine", "--span", "2", "--overwrite").code == 0
    results = load("results/sam.h5")
    assert list(results) == ["sam/history", "sam/mine"]
    assert results["sam/mine"].alpha[-1] == 2


def test_overwrite_replaces_the_result_of_the_same_settings(run, pair) -> None:
    for seed in (0, 1):
        run("surface", pair.sam, *pair.data, *PLANE, "--seed", seed)
    outcome = run("surface", pair.sam, *pair.data, *PLANE, "--seed", "1", "--overwrite")
    assert "15 points" in outcome.err  # computed again
    results = load("results/sam.h5")
    assert [results[f"sam/{name}"].attributes["seed"] for name in ("plane", "plane-2")] == [0, 1]


def test_a_name_of_another_kind_of_result_is_not_taken(run, pair) -> None:
    run("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3", "--name", "mine")
    run("surface", pair.sam, *pair.data, *PLANE, "--name", "mine").refused("'line'", "'surface'")


def test_json_is_all_there_is_on_stdout(run, pair) -> None:
    # Far away the loss overflows: inf and NaN are results, and strings in JSON.
    outcome = run(
        "surface", pair.sam, *pair.data, "--points", "3", "--span", "1e30", "--precision", "float32", "--json"
    )
    assert outcome.code == 0
    found = json.loads(outcome.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["sam/plane"]
    assert np.shape(found["loss"]) == (1, 3, 3)
    assert found["loss"][0][1][1] == pytest.approx(load_checkpoint(pair.sam).final["train_loss"], rel=1e-5)
    corner = found["loss"][0][0][0]
    assert corner in ("inf", "nan")
    assert not math.isfinite(float(corner))
    assert found["attributes"]["checkpoint"] == "sam"
    assert found["beta"] == [-1e30, 0, 1e30]


def test_xarray_opens_a_surface_with_named_axes_and_provenance(run, pair) -> None:
    run("surface", pair.sam, *pair.data, *PLANE, "--splits", "train,test")
    with xarray.open_dataset("results/sam.h5", engine="h5netcdf", group="sam/plane") as data:
        assert data["loss"].dims == ("split", "y", "x")
        assert data["loss"].shape == (2, 3, 5)
        assert data["split"].values.tolist() == ["train", "test"]
        assert bool(data["computed"].all())
        centre = data["loss"].sel(split="test", x=0.0, y=0.0)
        assert float(centre) == pytest.approx(load_checkpoint(pair.sam).final["test_loss"], rel=1e-5)
        for name in (
            "format_version", "checkpoints", "data", "splits", "examples", "subset", "seed", "loss", "precision",
            "precision_error", "batchnorm", "directions", "batch_size", "threads", "landscape_version", "torch_version",
            "device", "seconds", "created", "command",
        ):  # fmt: skip
            assert name in data.attrs, name


def test_the_stored_command_names_no_folders(run, pair) -> None:
    run("surface", pair.sam, *pair.data, *PLANE)
    command = load("results/sam.h5")["sam/plane"].attributes["command"]
    assert command == "landscape surface .../sam.pt --data npz:.../tiny.npz --points 5x3 --precision float32"


def test_a_later_checkpoint_takes_over_the_settings_of_the_first(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    run("surface", pair.sam, *pair.data, *PLANE[:2], "--out", "f.h5", "--precision", "float32")
    outcome = run("surface", pair.sam, pair.adam, *pair.data, *PLANE[:2], "--out", "f.h5", "--precision", "float32")
    assert "sam/plane is already" in outcome.err
    results = load("f.h5")
    assert results["adam/plane"].attributes["precision"] == results["sam/plane"].attributes["precision"] == "float32"


def test_digits_need_no_data_option(run, tmp_path: Path) -> None:
    assert (
        run("train", "adam", "--epochs", "1", "--batch-size", "512", "--precision", "float32", "--out", "d.pt").code
        == 0
    )
    outcome = run("surface", "d.pt", "--points", "3", "--subset", "64")
    assert outcome.code == 0
    assert "d: reproduces the loss on 1437 train examples" in outcome.err
    assert load("results/d.h5")["d/plane"].attributes["examples"] == {"train": 64}


def test_hostile_file_names(run, pair, tmp_path: Path) -> None:
    names = [
        "[red]x :smile:.pt",
        "new\nline.pt",
        "quo'te \"$(x).pt",
        "..pt",
        "a:b*c.pt",
        "é" * 100 + ".pt",
    ]
    for name in names:
        shutil.copy(pair.sam, tmp_path / name)
    run("surface", "--", "-dash.pt").refused("no such file: -dash.pt")
    outcome = run("surface", *names, *pair.data, "--points", "3", "--plane", "line", "--precision", "float32")
    assert outcome.code == 0, outcome.err
    (path,) = Path("results").glob("*.h5")
    labels = {name.split("/")[0] for name in load(path)}
    assert labels == {"[red]x _smile_", "new_line", "quo'te _$(x)", "_.", "a_b_c", "é" * 100}
    assert "[red]x _smile_/line" in outcome.out
    resumed = run(*shlex.split(outcome.err.splitlines()[-1].partition("next: landscape ")[2])[:-1])
    assert resumed.code == 0


RANDOM = """
from torch import nn
from torch.nn import functional as F


class Dropping(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


def make():
    return nn.Sequential(nn.Flatten(), Dropping(), nn.Linear(64, 10))
"""


def test_a_random_model_is_warned_of_in_terminal_file_and_page(run, pair, tmp_path) -> None:
    (tmp_path / "random_model.py").write_text(RANDOM)
    torch.manual_seed(0)
    torch.save({f"2.{k}": v for k, v in torch.nn.Linear(64, 10).state_dict().items()}, "random.pt")
    words = ("random.pt", "--model", "random_model.py:make", *pair.data, "--normalize", "none", "--points", "3")
    outcome = run("surface", *words, "--precision", "float32")
    assert outcome.code == 0
    assert outcome.err.count("warning: two passes over the same inputs give different outputs") == 1
    (message,) = load("results/random.h5")["random/plane"].attributes["warnings"]
    assert message.startswith("two passes")
    assert "random/plane: two passes over the same inputs" in run("surface", *words, "--precision", "float32").err
    assert run("report", "results/random.h5", "--out", "random.html").code == 0
    assert "Warning: two passes over the same inputs" in (tmp_path / "random.html").read_text()


@pytest.mark.parametrize("command", [("surface", "--points", "3", "--precision", "float32"), ("hessian", *SMALL)])
def test_an_accuracy_near_chance_is_warned_of_in_terminal_file_and_page(run, pair, command) -> None:
    torch.manual_seed(0)
    state = {f"1.{k}": v for k, v in torch.nn.Linear(64, 10).state_dict().items()}
    torch.save(state, "fresh.pt")
    Path("linear.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    name, *words = command
    outcome = run(name, "fresh.pt", "--model", "linear.py:make", *pair.data, "--normalize", "none", *words)
    assert outcome.code == 0
    assert outcome.err.count("warning: fresh: the accuracy on 64 train examples is") == 1
    assert "is what one constant answer gives" in outcome.err
    (result,) = load("results/fresh.h5").values()
    arrays = np.load(pair.npz)
    labels = arrays["train_labels"]
    inputs = torch.from_numpy(arrays["train_images"]).reshape(64, 64).float() / 255
    predicted = (inputs @ state["1.weight"].T + state["1.bias"]).argmax(1).numpy()
    assert result.attributes["origin"]["accuracy"] == pytest.approx((predicted == labels).mean())
    assert result.attributes["origin"]["chance"] == pytest.approx(np.bincount(labels).max() / 64)
    assert run("report", "results/fresh.h5", "--out", "fresh.html").code == 0
    assert "is what one constant answer gives" in Path("fresh.html").read_text()
