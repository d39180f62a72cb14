from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from landscape.errors import LandscapeError
from landscape.models.weight_files import load_state, load_weights


def refused(path, load=load_weights):
    """The message of the one-line refusal to load a file."""
    with pytest.raises(LandscapeError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def linear_state():
    torch.manual_seed(1)
    return nn.Sequential(OrderedDict(first=nn.Linear(3, 2), norm=nn.BatchNorm1d(2))).state_dict()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_plain_weights_are_taken_as_they_are(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pt" else save_file)(linear_state(), path)
    state, done = load_weights(path)
    assert done == []
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        name: tensor.tolist() for name, tensor in linear_state().items()
    }


def test_legacy_format_of_torch_loads(tmp_path):
    torch.save(linear_state(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert list(load_weights(tmp_path / "old.pth")[0]) == list(linear_state())
    content = (tmp_path / "old.pth").read_bytes()
    for length in (3, len(content) // 2, len(content) - 4):
        (tmp_path / "old.pth").write_bytes(content[:length])
        refused(tmp_path / "old.pth")


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_wrappers_and_prefixes_come_off_and_are_said(tmp_path, key, prefix):
    wrapped = {"epoch": 3, key: {prefix + name: tensor for name, tensor in linear_state().items()}}
    torch.save(wrapped, tmp_path / "w.pt")
    state, done = load_weights(tmp_path / "w.pt")
    assert list(state) == list(linear_state())
    assert len(done) == 1 + prefix.count(".")
    assert key in done[0]


def test_a_prefix_stays_where_not_all_share_it_or_the_model_has_it(tmp_path):
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "some.pt")
    assert list(load_weights(tmp_path / "some.pt")[0]) == ["module.a", "b"]
    torch.save({"module.model.a": torch.zeros(1)}, tmp_path / "own.pt")
    state, done = load_weights(tmp_path / "own.pt", names=["model.a"])
    assert list(state) == ["model.a"]
    assert len(done) == 1


def test_files_without_weights_are_refused(tmp_path):
    for content in ({"epoch": 1}, [torch.zeros(1)], torch.zeros(2), {}):
        torch.save(content, tmp_path / "w.pt")
        assert "holds no weights" in refused(tmp_path / "w.pt")
    torch.save({"w": torch.tensor([1.0, float("nan")])}, tmp_path / "w.pt")
    assert "NaN or inf in w" in refused(tmp_path / "w.pt")
    (tmp_path / "w.safetensors").write_bytes(b"no safetensors at all")
    assert "safetensors" in refused(tmp_path / "w.safetensors")
    assert "no such file" in refused(tmp_path / "none.safetensors")


def test_load_state_is_all_or_nothing_and_forgives_old_counters():
    model = nn.Sequential(OrderedDict(first=nn.Linear(3, 2), norm=nn.BatchNorm1d(2)))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(LandscapeError, match="another shape"):
        load_state(model, linear_state() | {"first.weight": torch.zeros(2, 4)})
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    old = linear_state()
    del old["norm.num_batches_tracked"]
    load_state(model, old)
    assert torch.equal(model.first.weight, linear_state()["first.weight"])
