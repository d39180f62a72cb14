import hashlib
import json
import pickle

import numpy as np
import pytest
import torch

from landscape.data import Dataset, Split, load_dataset
from landscape.errors import LandscapeError


def refused(spec, **options):
    """The message of the one-line refusal to load a data set."""
    with pytest.raises(LandscapeError) as caught:
        load_dataset(str(spec), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def random_images(count, height=4, width=4, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


# ---- the data set itself


def test_digits_are_scikit_learns_split_for_ever():
    from sklearn.datasets import load_digits

    dataset = load_dataset("digits")
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert (len(train), len(test)) == (1437, 360)
    assert dataset.input_shape == (1, 8, 8)
    assert dataset.is_images
    images, labels = load_digits(return_X_y=True)
    ours = torch.cat([train.inputs, test.inputs]).flatten(1).numpy()
    expected = np.round(images * 255 / 16)
    order, theirs = (np.lexsort(array.T) for array in (ours, expected))
    np.testing.assert_array_equal(ours[order], expected[theirs])
    np.testing.assert_array_equal(torch.cat([train.labels, test.labels]).numpy()[order], labels[theirs])
    assert np.abs(np.bincount(test.labels) - np.bincount(labels) * 360 / 1797).max() < 1
    # Checkpoints record these: whatever changes them makes every digits checkpoint of before unrepeatable.
    assert dataset.fingerprint("train").startswith("30c3fc5fa31c8963")
    assert dataset.fingerprint("test").startswith("519e1a000616075e")
    assert (dataset.mean, dataset.std, dataset.normalization) == ((0.3044,), (0.3754,), "measured")


def test_fingerprint_ignores_order_and_notices_everything_else():
    images = torch.from_numpy(random_images(50)).permute(0, 3, 1, 2)
    labels = torch.arange(50) % 3

    def fingerprint(images, labels):
        return Dataset("python", {"train": Split(images, labels)}, ("a", "b", "c")).fingerprint("train")

    base = fingerprint(images, labels)
    total = sum(
        int.from_bytes(
            hashlib.sha256(
                b"torch.uint8 (3, 4, 4) " + int(label).to_bytes(8, "little") + image.contiguous().numpy().tobytes()
            ).digest(),
            "little",
        )
        for image, label in zip(images, labels, strict=True)
    )
    assert base == f"{total % 2**256:064x}"
    order = torch.randperm(50)
    assert fingerprint(images[order], labels[order]) == base
    assert fingerprint(images.contiguous(memory_format=torch.channels_last), labels) == base
    assert fingerprint(images, labels[order]) != base
    changed = images.clone()
    changed[7, 1, 2, 3] ^= 1
    assert fingerprint(changed, labels) != base
    assert fingerprint(images[:-1], labels[:-1]) != base
    assert fingerprint(torch.cat([images, images[:1]]), torch.cat([labels, labels[:1]])) != base  # no cancelling pairs
    assert fingerprint(images.reshape(50, 3, 16, 1), labels) != base


def test_preprocess_is_numpys_arithmetic():
    images = torch.from_numpy(random_images(9)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    split = {"train": Split(images, torch.zeros(9, dtype=torch.int64))}
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.25, 1.0)
    dataset = Dataset("python", split, ("a",), mean=mean, std=std)
    out = dataset.preprocess(images[2:7])
    expected = (images[2:7].numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-6)
    plain = Dataset("python", split, ("a",))
    np.testing.assert_allclose(plain.preprocess(images).numpy(), images.numpy() / 255, rtol=1e-6)
    assert plain.normalization == "none"
    ready = torch.randn(2, 3, 4, 4)
    assert dataset.preprocess(ready) is ready


def test_description_is_json_and_holds_no_path(tmp_path):
    np.savez(tmp_path / "d.npz", train_images=random_images(6), train_labels=np.arange(6) % 2)
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    text = json.dumps(dataset.describe())
    assert str(tmp_path) not in text
    described = json.loads(text)
    assert described["examples"] == {"train": 6}
    assert described["fingerprints"] == {"train": dataset.fingerprint("train")}
    assert described["input_shape"] == [3, 4, 4]
    assert described["classes"] == ["0", "1"]


def test_inconsistent_data_sets_are_refused():
    images, labels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 1])
    for make, message in [
        (lambda: Split(images, labels[:3]), "3 labels do not fit"),
        (lambda: Split(images, labels.float()), "must be .N,. int64"),
        (lambda: Split(images[:0], labels[:0]), "at least one example"),
        (lambda: Dataset("python", {"test": Split(images, labels)}, ("a",)), "needs a train split, got test"),
        (lambda: Dataset("python", {"train": Split(images, labels)}, ("a", "b")), "0…1 for 2 classes, got 0…2"),
        (
            lambda: Dataset(
                "python", {"train": Split(images, labels), "test": Split(images[:, :1], labels)}, ("a", "b", "c")
            ),
            "train inputs are uint8 .4, 3, 2, 2., but test inputs uint8 .4, 1, 2, 2.",
        ),
    ]:
        with pytest.raises(LandscapeError, match=message):
            make()


# ---- normalization


def test_measured_normalization_is_numpys(tmp_path):
    images = random_images(300, seed=1)
    images[..., 1] = 17
    np.savez(tmp_path / "d.npz", train_images=images, train_labels=np.zeros(300, np.int64))
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(dataset.mean, scaled.mean((0, 1, 2)), atol=5.1e-5)
    np.testing.assert_allclose(np.array(dataset.std)[[0, 2]], scaled.std((0, 1, 2))[[0, 2]], atol=5.1e-5)
    assert dataset.std[1] == 1
    assert dataset.normalization == "measured"


def test_stated_normalization_wins_and_none_is_none():
    stated = load_dataset("digits", mean=(0.5,), std=[0.25])
    assert (stated.mean, stated.std, stated.normalization) == ((0.5,), (0.25,), "stated")
    none = load_dataset("digits", normalize=False)
    assert (none.mean, none.std, none.normalization) == (None, None, "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [0.5]}, "go together"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, "need 1 values, one per channel, got 3 and 3"),
        ({"mean": [125.3], "std": [63.0]}, "divide by 255"),
        ({"mean": [0.5], "std": [0.0]}, "std must be positive"),
        ({"mean": [float("nan")], "std": [1.0]}, "scaled to 0…1"),
        ({"mean": [0.5], "std": [0.5], "normalize": False}, "contradict"),
        ({"image_size": 16}, "folder:PATH only"),
    ],
)
def test_contradicting_options_are_refused(options, message):
    assert message in refused("digits", **options)


# ---- names


@pytest.mark.parametrize("spec", ["mnist", "", "folder", "folder:", "npz:", "npz"])
def test_unknown_data_is_refused_with_the_known_names(spec):
    message = refused(spec)
    assert "unknown data" in message
    assert "digits, cifar10" in message


def test_a_users_factory(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom landscape.data import Dataset, Split\n"
        "def make():\n"
        "    inputs = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)\n"
        "    return Dataset('mine', {'train': Split(inputs, torch.zeros(4, dtype=torch.int64))}, ('only',))\n"
        "def wrong(): return 5\n"
        "def fails(): raise ValueError('no data today')\n"
    )
    dataset = load_dataset(f"{tmp_path / 'mine.py'}:make")
    assert (dataset.kind, dataset.mean, dataset.normalization) == ("python", None, "none")
    assert load_dataset(f"{tmp_path / 'mine.py'}:make", mean=[0.5], std=[0.5]).normalization == "stated"
    assert load_dataset(f"{tmp_path / 'mine.py'}:make", normalize=True).normalization == "measured"
    assert "must return a landscape.data.Dataset, got int" in refused(f"{tmp_path / 'mine.py'}:wrong")
    assert "ValueError: no data today" in refused(f"{tmp_path / 'mine.py'}:fails")
    assert "no such Python file" in refused(f"{tmp_path / 'none.py'}:make")


def test_pickled_data_hold_no_tensors_of_a_device() -> None:
    dataset = load_dataset("digits")
    images = dataset.splits["train"].inputs[:2]
    expected = dataset.preprocess(images)
    assert dataset._constants
    copied = pickle.loads(pickle.dumps(dataset))
    assert not copied._constants
    assert torch.equal(copied.preprocess(images), expected)
