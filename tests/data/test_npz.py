import pickle

import numpy as np
import pytest

from landscape.data import load_dataset
from landscape.errors import LandscapeError


def refused(spec, **options):
    """The message of the one-line refusal to load a data set."""
    with pytest.raises(LandscapeError) as caught:
        load_dataset(str(spec), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def random_images(count, height=4, width=4, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def test_npz_with_everything(tmp_path):
    train, test = random_images(6, 5, 7), random_images(4, 5, 7, seed=1)
    np.savez_compressed(
        tmp_path / "d.npz",
        train_images=train,
        train_labels=np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8),
        test_images=test,
        test_labels=np.array([2, 1, 0, 0], dtype=">i4"),
        classes=np.array(["cat", "dog", "Kuh"]),
        mean=np.array([0.4, 0.5, 0.6], dtype=np.float32),
        std=[0.2, 0.2, 0.3],
    )
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    np.testing.assert_array_equal(dataset.splits["train"].inputs.numpy(), train.transpose(0, 3, 1, 2))
    assert dataset.splits["test"].labels.tolist() == [2, 1, 0, 0]
    assert dataset.classes == ("cat", "dog", "Kuh")
    assert dataset.mean == pytest.approx((0.4, 0.5, 0.6))
    assert (dataset.std, dataset.normalization, dataset.kind) == ((0.2, 0.2, 0.3), "stated", "npz")
    assert load_dataset(f"npz:{tmp_path / 'd.npz'}", normalize=False).mean is None


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "u1", ">f4"])
def test_npz_inputs_are_used_as_they_are(tmp_path, dtype):
    inputs = np.arange(12).reshape(4, 3).astype(dtype)
    np.savez(tmp_path / "d.npz", train_inputs=inputs, train_labels=[0, 1, 0, 1])
    dataset = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    kept = dataset.splits["train"].inputs
    np.testing.assert_array_equal(kept.numpy(), inputs)
    assert kept.numpy().dtype == inputs.dtype.newbyteorder("=")
    assert dataset.preprocess(kept) is kept
    assert (dataset.normalization, dataset.is_images, len(dataset.fingerprint("train"))) == ("none", False, 64)
    assert "for uint8 images" in refused(f"npz:{tmp_path / 'd.npz'}", mean=[0.5], std=[0.5])


GOOD = {"train_images": random_images(4), "train_labels": np.array([0, 1, 0, 1])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": None}, "expected one of train_images and train_inputs, found train_labels"),
        ({"train_inputs": np.zeros((4, 2))}, "found both"),
        ({"train_labels": None}, "train_labels is missing"),
        ({"train_images": random_images(4) / 255}, "must be (N, H, W, C) uint8, got (4, 4, 4, 3) float64"),
        ({"train_images": random_images(4)[..., 0]}, "add a channel axis"),
        ({"train_images": np.zeros((4, 3, 8, 8), np.uint8)}, "channels first"),
        ({"train_images": random_images(3)}, "4 train_labels for 3 examples"),
        ({"train_labels": np.array([0.0, 1, 0, 1])}, "must be (N,) integers, got (4,) float64"),
        ({"train_labels": np.eye(4, dtype=int)}, "must be (N,) integers, got (4, 4)"),
        ({"train_labels": np.array([0, -1, 0, 1])}, "got -1…1"),
        ({"classes": np.array(["only"])}, "0…0 for 1 classes, got 0…1"),
        ({"classes": np.array([1, 2])}, "classes must be (K,) names"),
        ({"mean": np.zeros(3)}, "go together"),
        ({"mean": np.zeros(2), "std": np.ones(2)}, "3 values"),
        ({"mean": np.array("a"), "std": np.ones(3)}, "mean must be (C,) numbers"),
        ({"test_images": random_images(4)}, "test_labels is missing"),
        ({"test_images": random_images(4, 8), "test_labels": np.zeros(4, int)}, "test inputs uint8 (4, 3, 8, 4)"),
        ({"train_images": None, "train_inputs": np.array([1, np.nan, 2, 3])}, "NaN or inf in train_inputs"),
        ({"train_images": None, "train_inputs": np.zeros((4, 2), bool)}, "floats or integers, got (4, 2) bool"),
        ({"train_images": None, "train_inputs": random_images(4)}, "name them train_images"),
        ({"classes": np.array([{"a": 1}], dtype=object)}, "pickled objects, which are never run"),
    ],
)
def test_npz_that_does_not_fit_is_refused(tmp_path, changes, message):
    path = tmp_path / "d.npz"
    np.savez(path, **{key: value for key, value in (GOOD | changes).items() if value is not None})
    text = refused(f"npz:{path}")
    assert message in text
    assert str(path) in text


def test_npz_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "d.npz"
    assert "no such file" in refused(f"npz:{path}")
    assert "is a folder" in refused(f"npz:{tmp_path}")
    path.touch()
    assert "is empty" in refused(f"npz:{path}")
    path.write_bytes(pickle.dumps([1, 2]))
    assert "is no .npz file" in refused(f"npz:{path}")
    np.save(tmp_path / "d.npy", np.zeros(3))
    assert "is no .npz file" in refused(f"npz:{tmp_path / 'd.npy'}")
    np.savez(path, **GOOD)
    content = path.read_bytes()
    for length in (10, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:length])
        assert "truncated or damaged" in refused(f"npz:{path}")
    damaged = bytearray(content)
    damaged[content.index(GOOD["train_images"].tobytes()) + 30] ^= 1
    path.write_bytes(damaged)
    assert "truncated or damaged" in refused(f"npz:{path}")


def test_class_names_of_bytes_are_decoded_or_refused(tmp_path):
    arrays = {"train_inputs": np.zeros((2, 3), np.float32), "train_labels": np.array([0, 1])}
    np.savez(tmp_path / "utf8.npz", **arrays, classes=np.array(["café".encode(), b"b"]))
    assert load_dataset(f"npz:{tmp_path / 'utf8.npz'}").classes == ("café", "b")
    np.savez(tmp_path / "latin.npz", **arrays, classes=np.array(["café".encode("latin-1"), b"b"]))
    with pytest.raises(LandscapeError, match="expected classes in UTF-8"):
        load_dataset(f"npz:{tmp_path / 'latin.npz'}")
