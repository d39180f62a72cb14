import dataclasses
import io
import json
import os
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import LandscapeError
from landscape.models import build
from landscape.models.checkpoint import (
    Checkpoint,
    build_model,
    file_sha256,
    is_checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    model = build("resnet20", num_classes=4, in_channels=1)
    model(torch.randn(8, 1, 8, 8))  # so that buffers are not as initialized
    return Checkpoint(
        state=model.state_dict(),
        model="resnet20",
        model_arguments={"num_classes": 4, "in_channels": 1},
        data={"kind": "digits", "classes": ("a", "b"), "mean": [0.1], "spec": "digits", "augmented": True},
        training={"recipe": "sam", "rho": np.float64(0.05), "epochs": np.int64(3), "clip": None},
        history={"epoch": [1.0, 2.0], "train_loss": [2.5, float("nan")]},
        final={"train_loss": 0.1 + 0.2},
        reference={"split": "train", "subset": 2000, "seed": 0},
        provenance={"torch": "x"},
    )


@pytest.fixture
def path(tmp_path, checkpoint):
    path = tmp_path / "net.pt"
    save_checkpoint(checkpoint, path)
    return path


def refused(path, load=load_checkpoint):
    """The message of the one-line refusal to load a file."""
    with pytest.raises(LandscapeError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def rewritten(path, **changes):
    """Save the checkpoint's content again with other entries; None removes one."""
    content = torch.load(path, weights_only=True) | changes
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def test_round_trip_is_bit_for_bit_and_json_able(path, checkpoint):
    loaded = load_checkpoint(path)
    assert list(loaded.state) == list(checkpoint.state)
    for name, tensor in checkpoint.state.items():
        assert loaded.state[name].dtype == tensor.dtype
        assert loaded.state[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert loaded.training == {"recipe": "sam", "rho": 0.05, "epochs": 3, "clip": None}
    assert loaded.data["classes"] == ["a", "b"]
    assert loaded.final["train_loss"] == 0.1 + 0.2
    assert np.isnan(loaded.history["train_loss"][1])
    configuration = dataclasses.replace(loaded, state={})
    json.dumps({entry.name: getattr(configuration, entry.name) for entry in dataclasses.fields(configuration)})
    assert is_checkpoint(path)


def test_saving_twice_gives_the_same_file(path, checkpoint, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "again.pt")
    assert file_sha256(tmp_path / "again.pt") == file_sha256(path)


def test_a_view_does_not_bring_its_storage(checkpoint, tmp_path):
    slim = dataclasses.replace(checkpoint, state={"w": torch.zeros(1_000_000)[:3]})
    save_checkpoint(slim, tmp_path / "slim.pt")
    assert (tmp_path / "slim.pt").stat().st_size < 10_000


def test_the_built_model_has_the_outputs_of_the_saved_one(path, checkpoint):
    original = build("resnet20", num_classes=4, in_channels=1)
    original.load_state_dict(checkpoint.state)
    images = torch.randn(3, 1, 8, 8)
    before = torch.get_rng_state()
    model = build_model(load_checkpoint(path))
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert torch.equal(model(images), original.eval()(images))


def test_configuration_that_is_not_json_able_is_a_bug(checkpoint, tmp_path):
    with pytest.raises(TypeError, match=r"training\.optimizer"):
        save_checkpoint(dataclasses.replace(checkpoint, training={"optimizer": object()}), tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_empty_and_other_files_are_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "none.pt")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "empty.pt").touch()
    assert "is empty" in refused(tmp_path / "empty.pt")
    for name, content in (("text", b"hello world"), ("png", b"\x89PNG\r\n\x1a\n0000"), ("nul", bytes(100))):
        (tmp_path / name).write_bytes(content)
        assert "no file of torch.save" in refused(tmp_path / name)
        assert not is_checkpoint(tmp_path / name)
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "HDF5" in refused(tmp_path / "a.h5")
    assert not is_checkpoint(tmp_path)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_truncated_file_is_refused(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "truncated or damaged" in refused(path)
    assert not is_checkpoint(path)


def test_one_flipped_bit_among_the_weights_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "truncated or damaged" in refused(path)


def test_random_damage_never_escapes_as_another_error(path):
    original = path.read_bytes()
    chance = random.Random(0)
    for _ in range(60):
        content = bytearray(original)
        for _ in range(chance.choice([1, 20])):
            # half of the damage in the last 10 kB, where the archive's directory is
            low = chance.choice([0, len(content) - 10_000])
            content[chance.randrange(low, len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            load_checkpoint(path)
        except LandscapeError as error:
            assert "\n" not in str(error)  # noqa: PT017


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_pickled_code_does_not_run(tmp_path, write):
    path = tmp_path / "evil.pt"
    write({"format": "landscape-checkpoint", "state": Malicious(tmp_path / "ran")}, path)
    assert "pickled objects" in refused(path)
    assert "pickled objects" in refused(path, load_weights)
    assert not (tmp_path / "ran").exists()


def test_pickled_models_and_torchscript_are_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    assert "save model.state_dict() instead" in refused(tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert "truncated or damaged" in refused(tmp_path / "other.zip")


def test_a_plain_state_dict_is_no_checkpoint_and_the_remedy_is_named(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "plain.pt")
    assert "--model" in refused(tmp_path / "plain.pt")
    assert not is_checkpoint(tmp_path / "plain.pt")


def test_wrong_entries_are_named(path):
    content = path.read_bytes()
    assert "expected training as dict, found nothing" in refused(rewritten(path, training=None))
    path.write_bytes(content)
    assert "expected history as dict, found list" in refused(rewritten(path, history=[1]))
    path.write_bytes(content)
    assert "tensors in its state" in refused(rewritten(path, state={"w": 1.0}))
    path.write_bytes(content)
    assert "tensors in its state" in refused(rewritten(path, state={}))
    path.write_bytes(content)
    assert "format 2" in refused(rewritten(path, version=2))
    assert is_checkpoint(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_weights_are_refused_both_ways(path, checkpoint, bad):
    content = path.read_bytes()
    state = {name: tensor.clone() for name, tensor in checkpoint.state.items()}
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = bad
    with pytest.raises(LandscapeError, match=r"NaN or inf in layer1\.0\.conv1\.weight"):
        save_checkpoint(dataclasses.replace(checkpoint, state=state), path)
    assert path.read_bytes() == content
    assert "NaN or inf in layer1.0.conv1.weight" in refused(rewritten(path, state=state))


def test_weights_that_do_not_fit_are_named(checkpoint):
    state = dict(checkpoint.state)
    state["linear.bias"] = torch.zeros(10)
    state["extra"] = torch.zeros(1)
    del state["conv1.weight"], state["bn1.weight"], state["bn1.bias"], state["bn1.running_mean"]
    with pytest.raises(LandscapeError) as caught:
        build_model(dataclasses.replace(checkpoint, state=state))
    message = str(caught.value)
    assert "conv1.weight, bn1.weight, bn1.bias and 1 more missing" in message
    assert "extra unexpected" in message
    assert "linear.bias (10,) instead of (4,) of another shape" in message
    with pytest.raises(LandscapeError, match="unknown model"):
        build_model(dataclasses.replace(checkpoint, model="os:getcwd"))


def test_unwritable_place_is_refused_and_the_old_file_stays(path, checkpoint, monkeypatch):
    content = path.read_bytes()
    with pytest.raises(LandscapeError, match="cannot write"):
        save_checkpoint(checkpoint, path / "below.pt")  # its folder is a file
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(LandscapeError, match="No space left on device"):
        save_checkpoint(dataclasses.replace(checkpoint, final={}), path)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_weights_of_a_landscape_checkpoint(path, checkpoint):
    state, done = load_weights(path)
    assert list(state) == list(checkpoint.state)
    assert done == ["took the weights under 'state'"]


def test_a_checkpoint_from_memory_reads_like_one_from_disk(path):
    # The archive's inner name does not depend on where the file lies, so that moving a file keeps its hash.
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"archive"}
