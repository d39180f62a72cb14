"""Models, data and losses of the user's own, from the command line."""

import json
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

from landscape.storage.loading import load

MODULE = """
import torch
from torch import nn

print("importing")  # as people's modules do; must not end up in the JSON


def make(width=8):
    print("making")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10))


def regressor():
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))


def margin(outputs, targets):
    return nn.functional.multi_margin_loss(outputs, targets, reduction="none")


def batch_mean(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets)


def data():
    from landscape.data import Dataset, Split

    inputs = torch.linspace(-1, 1, 100).reshape(20, 5)
    return Dataset("python", {"train": Split(inputs, torch.arange(20) % 3)}, ("a", "b", "c"))
"""


@pytest.fixture
def own(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained):
    """Put my_module.py, data and weights into the test's own folder, and return the model and its data."""
    (tmp_path / "my_module.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_module", raising=False)
    arrays = dict(np.load(trained.npz))
    np.savez(tmp_path / "my.npz", **arrays, mean=np.array([0.25]), std=np.array([0.5]))
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
    torch.save(model.state_dict(), tmp_path / "raw.pt")
    inputs = (torch.from_numpy(arrays["train_images"]).permute(0, 3, 1, 2) / 255 - 0.25) / 0.5
    yield model, inputs, torch.from_numpy(arrays["train_labels"])
    sys.modules.pop("my_module", None)


OPTIONS = ("--model", "my_module:make", "--data", "npz:my.npz", "--precision", "float32", "--points", "3")


def centre(path: str, name: str) -> float:
    return float(load(path)[name].grid("loss")[0, 1, 1])


def test_a_surface_of_ones_own_model(run, own) -> None:
    model, inputs, labels = own
    outcome = run("surface", "raw.pt", *OPTIONS, "--json")
    assert outcome.code == 0
    json.loads(outcome.out)  # what the module prints goes to stderr
    assert "importing" in outcome.err
    assert "making" in outcome.err
    with torch.no_grad():
        assert centre("results/raw.h5", "raw/plane") == pytest.approx(
            F.cross_entropy(model(inputs), labels).item(), rel=1e-5
        )
    attributes = load("results/raw.h5")["raw/plane"].attributes
    assert attributes["model"] == "my_module:make"
    assert attributes["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert "raw/history" not in load("results/raw.h5")


def test_weights_as_other_programs_store_them(run, own) -> None:
    state = own[0].state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, "wrapped.pt")
    torch.save({"model": {f"_orig_mod.{k}": v for k, v in state.items()}}, "compiled.pth")
    safetensors.torch.save_file(state, "safe.safetensors")
    outcome = run("surface", "raw.pt", "wrapped.pt", "compiled.pth", "safe.safetensors", *OPTIONS, "--out", "all.h5")
    assert outcome.code == 0
    assert "wrapped.pt: took the weights under 'state_dict'" in outcome.err
    assert "wrapped.pt: removed the prefix 'module.' from every name" in outcome.err
    assert "compiled.pth: removed the prefix '_orig_mod.'" in outcome.err
    results = load("all.h5")
    for name in ("wrapped", "compiled", "safe"):
        np.testing.assert_array_equal(results[f"{name}/plane"].grid(), results["raw/plane"].grid())


def test_the_key_of_the_weights_is_chosen_said_and_recorded(run, own) -> None:
    state = own[0].state_dict()
    torch.save({"model": state, "model_ema": {f"net.{k}": v / 2 for k, v in state.items()}}, "both.pt")
    outcome = run("surface", "both.pt", *OPTIONS)
    assert "both.pt: took the weights under 'model' (not those under 'model_ema': --weights-key chooses)" in outcome.err
    run("surface", "raw.pt", *OPTIONS)
    assert centre("results/both.h5", "both/plane") == centre("results/raw.h5", "raw/plane")
    outcome = run("surface", "both.pt", *OPTIONS, "--weights-key", "model_ema")
    assert outcome.code == 0
    assert "both.pt: removed the prefix 'net.' from every name" in outcome.err
    average = load("results/both.h5")["both/plane-2"]
    assert average.grid("loss")[0, 1, 1] != centre("results/both.h5", "both/plane")
    assert average.attributes["weights"][0].startswith("took the weights under 'model_ema'")
    outcome = run("surface", "both.pt", *OPTIONS, "--weights-key", "ema")
    assert outcome.code == 2
    assert "it holds weights under model, model_ema; change or omit --weights-key" in outcome.err
    run("surface", "both.pt", "--weights-key", "model").refused("--weights-key is of the weight files")


def test_eigenvalues_and_sharpness_of_ones_own_model(run, own) -> None:
    model, inputs, labels = own
    outcome = run("hessian", "raw.pt", *OPTIONS[:4], "--params", "3.*", "--top", "2", "--bottom", "1", "--json")
    found = json.loads(outcome.out)["raw/hessian"]
    hidden = model[:3](inputs).detach()

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(hidden @ flat[:80].reshape(10, 8).T + flat[80:], labels)

    flat = torch.cat([model[3].weight.detach().flatten(), model[3].bias.detach()])
    exact = torch.linalg.eigvalsh(torch.func.hessian(loss)(flat))
    assert found["eigenvalues"] == pytest.approx([exact[-1].item(), exact[-2].item(), exact[0].item()], abs=2e-3)
    assert found["ends"] == ["top", "top", "bottom"]
    outcome = run("sharpness", "raw.pt", *OPTIONS[:4], "--params", "3.*", "--json", "--tolerance", "1e-3")
    assert "λ_max of the Hessian is taken from raw/hessian" in outcome.err
    measures = {m["name"]: m for m in json.loads(outcome.out)["raw"]["measures"]}
    assert measures["lambda_max"]["value"] == found["eigenvalues"][0]
    assert set(load("results/raw.h5")) == {"raw/hessian", "raw/sharpness"}


def test_a_loss_of_ones_own(run, own) -> None:
    model, inputs, labels = own
    assert run("surface", "raw.pt", *OPTIONS, "--loss", "my_module:margin").code == 0
    with torch.no_grad():
        expected = F.multi_margin_loss(model(inputs), labels).item()
    assert centre("results/raw.h5", "raw/plane") == pytest.approx(expected, rel=1e-5)
    # A scalar counts as its batch's mean.
    assert run("surface", "raw.pt", *OPTIONS, "--loss", "my_module.py:batch_mean").code == 0
    with torch.no_grad():
        assert centre("results/raw.h5", "raw/plane-2") == pytest.approx(
            F.cross_entropy(model(inputs), labels).item(), rel=1e-5
        )


def test_mse_of_a_classifier_is_of_one_hot_targets(run, own) -> None:
    model, inputs, labels = own
    assert run("surface", "raw.pt", *OPTIONS, "--loss", "mse").code == 0
    result = load("results/raw.h5")["raw/plane"]
    assert result.metrics == ("loss",)
    with torch.no_grad():
        expected = F.mse_loss(model(inputs), F.one_hot(labels, 10).float()).item()
    assert result.grid("loss")[0, 1, 1] == pytest.approx(expected, rel=1e-5)


def test_inputs_that_are_no_images_and_one_output(run, own, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    inputs, labels = generator.normal(size=(30, 5)).astype(np.float32), generator.integers(0, 4, 30)
    np.savez(tmp_path / "numbers.npz", train_inputs=inputs, train_labels=labels)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
    torch.save(model.state_dict(), "regressor.pt")
    words = ("--model", "my_module:regressor", "--data", "npz:numbers.npz", "--loss", "mse", "--points", "3")
    assert run("surface", "regressor.pt", *words, "--precision", "float32").code == 0
    with torch.no_grad():
        expected = F.mse_loss(model(torch.from_numpy(inputs))[:, 0], torch.from_numpy(labels).float()).item()
    assert centre("results/regressor.h5", "regressor/plane") == pytest.approx(expected, rel=1e-5)
    words = ("--model", "my_module:regressor", "--data", "my_module:data", "--points", "3", "--loss", "mse")
    assert run("surface", "regressor.pt", *words, "--out", "python.h5").code == 0


def test_another_model_or_other_arguments_are_other_settings(run, own) -> None:
    (Path.cwd() / "my_module.py").write_text(MODULE + "\n\ndef relu():\n    m = make(); m[2] = nn.ReLU(); return m\n")
    run("surface", "raw.pt", *OPTIONS)
    outcome = run("surface", "raw.pt", "--model", "my_module:relu", *OPTIONS[2:], "--model-args", "{}")
    assert outcome.code == 0
    results = load("results/raw.h5")
    assert not np.array_equal(results["raw/plane"].grid(), results["raw/plane-2"].grid())


def test_the_normalization_must_be_known_or_stated(run, own, trained) -> None:
    data = ("--data", f"npz:{trained.npz}")  # which states none
    refused = run("surface", "raw.pt", *OPTIONS[:2], *data, "--points", "3")
    assert refused.code == 2
    assert refused.err.endswith("give --normalize MEAN/STD, or --normalize none\n")
    for words in (["--normalize", "none"], ["--normalize", "0.25/0.5"]):
        assert run("surface", "raw.pt", *OPTIONS[:2], *data, *OPTIONS[4:], *words).code == 0
    run("surface", "raw.pt", *OPTIONS, "--out", "stated.h5")
    assert centre("results/raw.h5", "raw/plane-2") == centre("stated.h5", "raw/plane")


def test_one_of_our_models_with_plain_weights(run, pair) -> None:
    torch.save(torch.load(pair.sam, weights_only=True)["state"], "plain.pt")
    words = (*pair.data, "--points", "3", "--precision", "float32")
    mean_std = torch.load(pair.sam, weights_only=True)["data"]
    stated = ("--normalize", f"{mean_std['mean'][0]}/{mean_std['std'][0]}")
    assert (
        run("surface", "plain.pt", *words, *stated, "--model", "resnet20", "--model-args", '{"in_channels": 1}').code
        == 0
    )
    assert run("surface", pair.sam, *words).code == 0
    np.testing.assert_array_equal(
        load("results/plain.h5")["plain/plane"].grid(), load("results/sam.h5")["sam/plane"].grid()
    )


def test_the_caller_s_random_numbers_are_left_alone(run, own) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run("surface", "raw.pt", *OPTIONS)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_file_locking_it_writes_beside_a_lock_that_is_held_and_warns(
    run, own, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("results").mkdir()
    with filelock.FileLock("results/raw.h5.lock"):
        assert "another process" in run("surface", "raw.pt", *OPTIONS).err
        monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
        outcome = run("surface", "raw.pt", *OPTIONS)
    assert outcome.code == 0
    assert "warning: results/raw.h5 is written without a lock" in outcome.err
    assert list(load("results/raw.h5")) == ["raw/plane"]
