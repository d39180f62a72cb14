import hashlib
import pickle
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import scipy.io
from PIL import Image

from landscape.data import downloads, load_dataset
from landscape.errors import LandscapeError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("LANDSCAPE_CACHE", str(folder))
    return folder


def random_images(count, height=4, width=4, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and NumPy 1 wrote in 2009: byte strings for all strings, integers for booleans."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    def save_bool(self, value):
        self.save_long(int(value))

    dispatch[str] = dispatch[bytes] = save_bytes
    dispatch[bool] = save_bool


def write_python2(path, content):
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump(content)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_cifar10_is_read_from_its_own_files(cache, monkeypatch):
    datasets = downloads.import_datasets()
    folder = cache / "cifar10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = random_images(12, 32, 32).transpose(0, 3, 1, 2)
    labels = [index % 10 for index in range(12)]
    names = [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]
    sums = {}
    for place, name in enumerate(names):
        chosen = slice(2 * place, 2 * place + 2)
        content = {"batch_label": name, "labels": labels[chosen], "data": images[chosen].reshape(2, -1)}
        sums[name] = write_python2(folder / name, content)
    meta = write_python2(folder / "batches.meta", {"label_names": [f"class {index}" for index in range(10)]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", meta)
    dataset = load_dataset("cifar10")
    np.testing.assert_array_equal(dataset.splits["train"].inputs.numpy(), images[:10])
    np.testing.assert_array_equal(dataset.splits["test"].inputs.numpy(), images[10:])
    assert dataset.splits["train"].labels.tolist() == labels[:10]
    assert dataset.classes == tuple(f"class {index}" for index in range(10))
    assert dataset.normalization == "measured"


def test_svhn_is_read_from_its_own_files(cache, monkeypatch):
    datasets = downloads.import_datasets()
    folder = cache / "svhn"
    folder.mkdir(parents=True)
    images = random_images(6, 32, 32)
    files = {}
    for split, chosen in (("train", slice(4)), ("test", slice(4, 6))):
        path = folder / f"{split}_32x32.mat"
        labels = np.array([10, 1, 2, 9, 10, 3], dtype=np.uint8)[chosen, None]  # 10 stands for the digit 0
        scipy.io.savemat(path, {"X": images[chosen].transpose(1, 2, 3, 0), "y": labels})
        files[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(datasets.SVHN, "split_list", files)
    dataset = load_dataset("svhn")
    np.testing.assert_array_equal(dataset.splits["train"].inputs.numpy(), images[:4].transpose(0, 3, 1, 2))
    assert dataset.splits["test"].labels.tolist() == [0, 3]


@pytest.mark.parametrize(("name", "maker"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100"), ("svhn", "SVHN")])
def test_a_failed_download_is_one_line(monkeypatch, name, maker):
    def offline(self):
        raise OSError("<urlopen error [Errno -2] Name or\nservice not known>")

    monkeypatch.setattr(getattr(downloads.import_datasets(), maker), "download", offline)
    with pytest.raises(LandscapeError) as caught:
        load_dataset(name)
    message = str(caught.value)
    assert "\n" not in message
    assert f"could not download {name}" in message
    assert "Name or service not known" in message


def test_torchvision_imports_once_whatever_torch_stands_beside_it():
    datasets = downloads.import_datasets()
    import torchvision

    assert torchvision.datasets is datasets is downloads.import_datasets()


def test_only_the_downloads_import_torchvision(tmp_path):
    np.savez(tmp_path / "d.npz", train_images=random_images(2), train_labels=[0, 1])
    (tmp_path / "data" / "train" / "one").mkdir(parents=True)
    for name in "ab":
        Image.new("L", (4, 4)).save(tmp_path / "data" / "train" / "one" / f"{name}.png")
    code = (
        "import sys; from landscape.data import load_dataset\n"
        f"for spec in ('digits', {'npz:' + str(tmp_path / 'd.npz')!r}, {'folder:' + str(tmp_path / 'data')!r}):\n"
        "    load_dataset(spec)\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
