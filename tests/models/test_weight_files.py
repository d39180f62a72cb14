import argparse
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from landscape.errors import LandscapeError
from landscape.models.state_dict import load_state, tied_names
from landscape.models.weight_files import load_weights


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
def test_wrappers_and_prefixes_are_removed_and_noted(tmp_path, key, prefix):
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


class Tied(nn.Module):
    """An embedding whose matrix is the head's, as in language models."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def test_safetensors_hold_tied_tensors_once(tmp_path):
    torch.manual_seed(2)
    model, other = Tied(), Tied()
    save_model(model, tmp_path / "tied.safetensors")
    state, _ = load_weights(tmp_path / "tied.safetensors", names=list(other.state_dict()))
    assert len(state) == 1
    load_state(other, state)
    assert torch.equal(other.head.weight, model.embedding.weight)
    assert other.head.weight is other.embedding.weight
    assert tied_names(other) == [["embedding.weight", "head.weight"]]


def test_differing_copies_of_a_tied_tensor_are_refused_by_name():
    model = Tied()
    before = model.embedding.weight.clone()
    copies = {"embedding.weight": torch.zeros(5, 3), "head.weight": torch.ones(5, 3)}
    with pytest.raises(LandscapeError, match=r"embedding\.weight and head\.weight: one tensor in the model") as caught:
        load_state(model, copies)
    assert "\n" not in str(caught.value)
    assert torch.equal(model.embedding.weight, before)
    load_state(model, copies | {"head.weight": torch.zeros(5, 3)})
    assert not model.head.weight.any()


def test_slices_of_one_tensor_are_not_tied():
    model = nn.Linear(4, 4)
    flat = torch.arange(20.0)
    model.weight.data, model.bias.data = flat[:16].view(4, 4), flat[16:]
    assert tied_names(model) == []


@pytest.mark.parametrize("prefix", ["net.", "backbone.encoder.", "net._orig_mod."])
def test_any_shared_prefix_comes_off_where_the_names_then_match(tmp_path, prefix):
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in linear_state().items()}}, tmp_path / "l.ckpt")
    state, done = load_weights(tmp_path / "l.ckpt", names=list(linear_state()))
    assert list(state) == list(linear_state())
    assert done[1] == f"removed the prefix {prefix.partition('.')[0] + '.'!r} from every name"
    state, _ = load_weights(tmp_path / "l.ckpt", names=["nothing.like.it"])
    assert list(state) == [prefix + name for name in linear_state()]


def test_averaged_models(tmp_path):
    model = nn.Sequential(OrderedDict(first=nn.Linear(3, 2), norm=nn.BatchNorm1d(2)))
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    for names in (None, list(model.state_dict())):
        state, done = load_weights(tmp_path / "swa.pt", names=names)
        assert list(state) == list(model.state_dict())
        assert done == [
            "omitted n_averaged, the counter of an AveragedModel",
            "removed the prefix 'module.' from every name",
        ]


def test_numpy_numbers_beside_the_weights(tmp_path):
    numbers = {"best": np.float64(0.5), "epoch": np.int64(3), "done": np.bool_(True), "losses": np.arange(3.0)}
    torch.save({"model": linear_state(), **numbers}, tmp_path / "w.pt")
    assert list(load_weights(tmp_path / "w.pt")[0]) == list(linear_state())
    torch.save({"model": linear_state(), "args": argparse.Namespace(lr=1)}, tmp_path / "w.pt")
    assert "pickled objects, which are never run, such as argparse.Namespace" in refused(tmp_path / "w.pt")


@pytest.mark.parametrize("value", [np.str_("a"), np.array(["a"]), np.array([None]), np.zeros(1, dtype="f8,f8")])
def test_other_numpy_values_are_refused(tmp_path, value):
    torch.save({"model": linear_state(), "value": value}, tmp_path / "w.pt")
    assert "pickled objects" in refused(tmp_path / "w.pt")


def test_the_key_of_the_weights_is_said_with_the_others_and_can_be_chosen(tmp_path):
    average = {name: tensor + 1 for name, tensor in linear_state().items()}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}
    content = {
        "optimizer": optimizer,
        "model_ema": average,
        "model": linear_state(),
        "rng": {"cpu": torch.zeros(2).byte()},
    }
    path = tmp_path / "w.pt"
    torch.save(content, path)
    state, done = load_weights(path)
    assert torch.equal(state["first.weight"], linear_state()["first.weight"])
    assert done == ["took the weights under 'model' (not those under 'model_ema': --weights-key chooses)"]
    state, done = load_weights(path, key="model_ema")
    assert torch.equal(state["first.weight"], average["first.weight"])
    assert done == ["took the weights under 'model_ema' (not those under 'model': --weights-key chooses)"]
    message = refused(path, lambda p: load_weights(p, key="ema"))
    assert "no weights under 'ema': it holds weights under model_ema, model" in message
    torch.save({"student": linear_state(), "teacher": {"state_dict": average}}, path)
    assert "holds weights under student, teacher: choose one with --weights-key" in refused(path)
    assert torch.equal(load_weights(path, key="teacher")[0]["norm.bias"], average["norm.bias"])
    torch.save({"generator": linear_state(), "epoch": 1}, path)
    assert load_weights(path)[1] == ["took the weights under 'generator'"]
    torch.save(linear_state(), path)
    assert "it has no keys to choose from" in refused(path, lambda p: load_weights(p, key="model"))
