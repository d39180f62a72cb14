"""Results are served, resumed and reused only for the model, loss and data that they were measured with."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.analysis.objective.autotune.precision_policy import PrecisionChoice
from landscape.storage.loading import load
from landscape.workflow.fingerprint import code_fingerprints

MODULE = """
from torch import nn

from helpers import scaled


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))


def loss(outputs, targets):
    return scaled(nn.functional.cross_entropy(outputs, targets, reduction="none"))


def metric(outputs, targets):
    return outputs.square().mean(1)
"""
HELPERS = "def scaled(x):\n    return x\n"
DATA = ("--data", "npz:my.npz", "--subset", "40")
OWN = ("--model", "mine:make", "--loss", "mine:loss", *DATA)
PLANE = ("--points", "3", "--precision", "float32")


@pytest.fixture
def own(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained) -> Iterator[Callable[..., None]]:
    """Put a module of the user's into the test's folder; the function it yields changes it."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(module: str = MODULE, helpers: str = HELPERS) -> None:
        for name, text in (("mine", module), ("helpers", helpers)):
            sys.modules.pop(name, None)
            (tmp_path / f"{name}.py").write_text(text)
            for cached in (tmp_path / "__pycache__").glob(f"{name}.*"):
                cached.unlink()

    write()
    np.savez(tmp_path / "my.npz", **dict(np.load(trained.npz)), mean=np.array([0.25]), std=np.array([0.5]))
    for seed, name in enumerate(("raw.pt", "other.pt")):
        torch.manual_seed(seed)
        torch.save(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10)).state_dict(), tmp_path / name
        )
    yield write
    for name in ("mine", "helpers"):
        sys.modules.pop(name, None)


def of_relu(text: str) -> str:
    assert "nn.Tanh()" in text
    return text.replace("nn.Tanh()", "nn.ReLU()")


COMMANDS = {
    "surface": ("surface", "raw.pt", *OWN, *PLANE),
    "line": ("surface", "raw.pt", *OWN, *PLANE, "--plane", "line"),
    "between": ("surface", "raw.pt", "other.pt", *OWN, *PLANE, "--plane", "between"),
    "convexity": ("convexity", "raw.pt", *OWN, "--points", "3", "--quick"),
    "hessian": ("hessian", "raw.pt", *OWN, "--top", "1"),
    "trace": ("hessian", "raw.pt", *OWN, "--top", "1", "--trace"),
    "density": ("hessian", "raw.pt", *OWN, "--top", "0", "--density"),
    "layers": ("hessian", "raw.pt", *OWN, "--top", "0", "--layers"),
    "sharpness": ("sharpness", "raw.pt", *OWN, "--measures", "sam"),
    "curve": ("curve", "raw.pt", "other.pt", *OWN, *PLANE, "--steps", "3", "--plane-points", "0"),
    "trajectory": ("trajectory", "raw.pt", *OWN, "--snapshots", "raw.pt,other.pt,third.pt"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_result_of_another_model_is_not_served(words: tuple[str, ...], run, own) -> None:
    torch.save({name: 2 * w for name, w in torch.load("raw.pt").items()}, "third.pt")
    assert run(*words).code == 0
    assert run(*words).code == 0  # the same again is served
    own(of_relu(MODULE))
    run(*words).refused("the loss at the centre of train is ", "the file has ", "use --overwrite or another --name")
    assert run(*words, "--overwrite").code == 0
    assert run(*words).code == 0


def test_another_loss_or_metric_is_named_and_measured_with_overwrite(run, own) -> None:
    words = (*COMMANDS["surface"], "--metrics", "mine:metric")
    assert run(*words).code == 0
    own(helpers="def scaled(x):\n    return 3 * x\n")  # in a file that the user's imports
    run(*words).refused("raw/plane in results/raw.h5: the loss at the centre of train is ")
    assert run(*words, "--name", "tripled").code == 0
    old, new = (load("results/raw.h5")[f"raw/{name}"].grid("loss") for name in ("plane", "tripled"))
    np.testing.assert_allclose(new, 3 * old, rtol=1e-5)
    own(MODULE.replace("outputs.square()", "outputs.abs()"))
    run(*words).refused("the metric metric at the centre of train is ")


def test_code_that_agrees_at_the_centre_is_told_by_its_fingerprint(run, own) -> None:
    assert run(*COMMANDS["hessian"]).code == 0
    own(MODULE + "\n\n# a comment\n")
    assert run(*COMMANDS["hessian"]).code == 0
    own(helpers="def scaled(x):\n    return x.clamp(max=1e9)\n")
    run(*COMMANDS["hessian"]).refused("the code in helpers.py is not what it was measured with")


def test_an_interrupted_surface_is_not_resumed_with_another_model(run, own, interrupt) -> None:
    words = COMMANDS["surface"]
    assert interrupt(*words, after=4).code == 130
    own(of_relu(MODULE))
    run(*words).refused("the loss at the centre of train is ")
    assert run(*words, "--overwrite").code == 0
    overwritten = load("results/raw.h5")["raw/plane"].grid("loss")
    assert run(*words, "--name", "fresh").code == 0
    np.testing.assert_array_equal(overwritten, load("results/raw.h5")["raw/fresh"].grid("loss"))


def test_points_and_measures_of_another_model_are_not_taken_over(run, own) -> None:
    assert run(*COMMANDS["surface"]).code == 0
    assert run(*COMMANDS["hessian"], "--tolerance", "1e-3").code == 0
    own(of_relu(MODULE))
    outcome = run(*COMMANDS["surface"], "--points", "5")
    assert "taken from a result on other axes" not in outcome.err
    outcome = run(*COMMANDS["sharpness"][:-1], "lambda_max")
    assert "λ_max is taken" not in outcome.err
    assert outcome.code == 0


def test_a_surface_without_a_recorded_centre_is_checked_by_its_own(run, own, monkeypatch) -> None:
    monkeypatch.setattr("landscape.workflow.runner.stamp", lambda *_: {})  # as before there were any
    assert run(*COMMANDS["surface"]).code == 0
    assert run(*COMMANDS["surface"]).code == 0
    own(of_relu(MODULE))
    run(*COMMANDS["surface"]).refused("the loss at the centre of train is ")


def test_the_recorded_centre_is_the_loss_at_the_weights(run, own, trained) -> None:
    assert run(*COMMANDS["surface"], "--subset", "all").code == 0
    attributes = load("results/raw.h5")["raw/plane"].attributes
    arrays = np.load("my.npz")
    inputs = (torch.from_numpy(arrays["train_images"]).permute(0, 3, 1, 2) / 255 - 0.25) / 0.5
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 10))
    model.load_state_dict(torch.load("raw.pt"))
    with torch.no_grad():
        losses = F.cross_entropy(model(inputs), torch.from_numpy(arrays["train_labels"]), reduction="none")
    centre = attributes["centre"]["train"]["loss"]
    assert centre["value"] == pytest.approx(losses.mean().item(), rel=1e-5)
    assert centre["spread"] == pytest.approx(losses.std().item(), rel=1e-4)
    assert set(attributes["code"]) == {"mine.py", "helpers.py"}


def test_models_random_in_evaluation_mode_are_served(run, own) -> None:
    own(MODULE.replace("nn.Tanh(),", "nn.Tanh(), Noise(),") + "\n\n" + NOISE)
    words = tuple(word if word != "raw.pt" else "noisy.pt" for word in COMMANDS["surface"])
    torch.save({name.replace("3.", "4."): w for name, w in torch.load("raw.pt").items()}, "noisy.pt")
    assert run(*words).code == 0
    assert run(*words).code == 0


NOISE = """
class Noise(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, training=True)
"""


def test_fingerprints_are_of_code_alone(tmp_path: Path) -> None:
    def found(text: str) -> dict[str, str]:
        (tmp_path / "code.py").write_text(text)
        return code_fingerprints([f"{tmp_path / 'code.py'}:make"])

    plain = found("def make():\n    if True:\n        x = 1\n    return x\n")
    assert set(plain) == {"code.py"}
    assert found("# why\ndef make():\n\n    if True:  # always\n        x = 1\n    return x\n") == plain
    assert found("def make():\n    if True:\n        x = 1\n        return x\n") != plain
    assert found("def make():\n    if True:\n        x = 2\n    return x\n") != plain
    assert code_fingerprints(["resnet20", "npz:my.npz"]) == {}
    found("from . import beside\nimport cycle\nimport torch\n\ndef make(): ...\n")
    (tmp_path / "beside.py").write_text("import code\n")
    (tmp_path / "cycle.py").write_text("import code\n")
    names = code_fingerprints([f"{tmp_path / 'code.py'}:make"])
    assert set(names) == {"code.py", "beside.py", "cycle.py"}


def test_copies_of_the_same_weights_share_the_precision_that_auto_took(run, own, monkeypatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        "landscape.analysis.surfaces.evaluation.choose_precision",
        lambda *arguments, known, **more: seen.append(known) or PrecisionChoice("bfloat16", 0.001),
    )
    (Path.cwd() / "copy.pt").write_bytes((Path.cwd() / "raw.pt").read_bytes())
    for name in ("raw.pt", "copy.pt"):
        assert run("surface", name, *OWN, "--points", "3", "--out", "both.h5").code == 0
    assert seen == [None, "bfloat16"]
    first, second = (load("both.h5")[f"{name}/plane"].attributes["precision"] for name in ("raw", "copy"))
    assert first == second == "bfloat16"
