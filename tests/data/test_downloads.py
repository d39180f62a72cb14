import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from typing import ClassVar

import filelock
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


def random_images(count, height=32, width=32, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


# ---- a web that holds small data sets in the formats of the real ones

IMAGES = random_images(12).transpose(0, 3, 1, 2)
LABELS = [index % 10 for index in range(12)]
NAMES = [f"class {index}" for index in range(10)]
SVHN_LABELS = np.array([10, 1, 2, 9, 10, 3], dtype=np.uint8)[:, None]  # 10 stands for the digit 0


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


def python2(content):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


def archive(folder, files):
    """A .tar.gz of the files, as the authors' page serves it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def cifar10_files():
    files = {}
    for place, name in enumerate([*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]):
        chosen = slice(2 * place, 2 * place + 2)
        data = IMAGES[chosen].reshape(2, -1)
        files[name] = python2({"batch_label": name, "labels": LABELS[chosen], "data": data, "filenames": ["a", "b"]})
    return files | {"batches.meta": python2({"num_cases_per_batch": 2, "label_names": NAMES, "num_vis": 3072})}


def cifar100_files():
    files = {}
    for name, chosen in (("train", slice(10)), ("test", slice(10, 12))):
        data, fine = IMAGES[chosen].reshape(-1, 3072), LABELS[chosen]
        coarse = [label // 5 for label in fine]
        files[name] = python2({"batch_label": name, "fine_labels": fine, "coarse_labels": coarse, "data": data})
    return files | {"meta": python2({"fine_label_names": NAMES, "coarse_label_names": ["low", "high"]})}


def svhn_files():
    files = {}
    for name, chosen in (("train", slice(4)), ("test", slice(4, 6))):
        out = io.BytesIO()
        scipy.io.savemat(out, {"X": IMAGES[:6][chosen].transpose(2, 3, 1, 0), "y": SVHN_LABELS[chosen]})
        files[f"{name}_32x32.mat"] = out.getvalue()
    return files


class Web:
    """Answers urllib's requests: what `files` holds, or the exception there; remembers what was fetched whole."""

    def __init__(self):
        self.files, self.fetched, self.watch = {}, [], lambda: None

    def urlopen(self, request, *_arguments, **_options):
        self.watch()
        content = self.files[request.full_url]
        if isinstance(content, Exception):
            raise content
        return Response(content, request.full_url, self.fetched)


class Response(io.BytesIO):
    def __init__(self, content, url, fetched):
        super().__init__(content)
        self.url, self.length, self.fetched = url, len(content), fetched

    def read(self, size=-1):
        chunk = super().read(size)
        if not chunk:  # the end; torchvision also opens an address only to see where it leads
            self.fetched.append(self.url.rpartition("/")[2])
        return chunk


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def web(monkeypatch):
    """The three data sets online; torchvision expects the checksums of these small files."""
    datasets, web = downloads.import_datasets(), Web()
    for maker, files, test in (
        (datasets.CIFAR10, cifar10_files(), "test_batch"),
        (datasets.CIFAR100, cifar100_files(), "test"),
    ):
        packed = archive(maker.base_folder, files)
        web.files[maker.url] = packed
        meta = maker.meta["filename"]
        monkeypatch.setattr(maker, "tgz_md5", md5(packed))
        monkeypatch.setattr(maker, "train_list", [[n, md5(c)] for n, c in files.items() if n not in (test, meta)])
        monkeypatch.setattr(maker, "test_list", [[test, md5(files[test])]])
        monkeypatch.setitem(maker.meta, "md5", md5(files[meta]))
    served = {}
    for name, content in svhn_files().items():
        url = f"http://svhn.invalid/{name}"
        web.files[url] = content
        served[name.partition("_")[0]] = [url, name, md5(content)]
    monkeypatch.setattr(datasets.SVHN, "split_list", served)
    monkeypatch.setattr(urllib.request, "urlopen", web.urlopen)
    return web


def check(name, dataset):
    """The data are those that were put online."""
    count, split = (6, 4) if name == "svhn" else (12, 10)
    labels = [0, 1, 2, 9, 0, 3] if name == "svhn" else LABELS
    train, test = dataset.splits["train"], dataset.splits["test"]
    np.testing.assert_array_equal(train.inputs.numpy(), IMAGES[:split])
    np.testing.assert_array_equal(test.inputs.numpy(), IMAGES[split:count])
    assert train.labels.tolist() + test.labels.tolist() == labels
    assert dataset.classes == (tuple("0123456789") if name == "svhn" else tuple(NAMES))
    assert (dataset.kind, dataset.normalization) == (name, "measured")


ARCHIVES = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}
FETCHED = {name: [file] for name, file in ARCHIVES.items()} | {"svhn": ["train_32x32.mat", "test_32x32.mat"]}
READ = {
    "cifar10": "cifar-10-batches-py/data_batch_3",
    "cifar100": "cifar-100-python/train",
    "svhn": "train_32x32.mat",
}


def refused(name):
    with pytest.raises(LandscapeError) as caught:
        load_dataset(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", FETCHED)
def test_data_are_downloaded_once_and_read_from_their_own_format(web, name):
    check(name, load_dataset(name))
    assert web.fetched == FETCHED[name]
    check(name, load_dataset(name))
    assert web.fetched == FETCHED[name]


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_download_that_was_cut_off_is_fetched_again(web, cache, name):
    (cache / name).mkdir(parents=True)
    (url,) = (url for url in web.files if url.endswith(ARCHIVES[name]))
    (cache / name / ARCHIVES[name]).write_bytes(web.files[url][:-100])
    check(name, load_dataset(name))
    assert web.fetched == FETCHED[name]


@pytest.mark.parametrize("name", FETCHED)
def test_a_broken_file_is_never_used(web, cache, name):
    load_dataset(name)
    web.fetched.clear()
    cut(cache / name / READ[name])
    check(name, load_dataset(name))
    # What was cut off while it was unpacked comes from the archive, whose checksum is right; else it is fetched again.
    assert web.fetched == (["train_32x32.mat"] if name == "svhn" else [])
    changed = bytearray((cache / name / READ[name]).read_bytes())
    changed[len(changed) // 2] ^= 1
    (cache / name / READ[name]).write_bytes(changed)
    check(name, load_dataset(name))


@pytest.mark.parametrize("name", FETCHED)
def test_a_download_that_comes_broken_is_reported_and_the_next_one_is_whole(web, name):
    whole = dict(web.files)
    web.files.update({url: content[:-100] for url, content in whole.items()})
    message = refused(name)
    assert f"could not download {name} into" in message
    assert "corrupted; check network and disk, and run again (what is broken is fetched again), or use" in message
    web.files.update(whole)
    check(name, load_dataset(name))


@pytest.mark.parametrize("name", FETCHED)
def test_without_a_network_it_is_one_line(web, name):
    error = urllib.error.URLError(OSError(-2, "Name or\nservice not known"))
    web.files.update(dict.fromkeys(web.files, error))
    message = refused(name)
    assert f"could not download {name}" in message
    assert "service not known" in message
    assert "check network" in message


def test_a_full_disk_is_one_line(web, cache):
    web.files.update(dict.fromkeys(web.files, OSError(28, "No space left on device")))
    assert "No space left on device; " in refused("cifar10")


def test_two_processes_do_not_download_into_one_folder_at_once(web, cache):
    free = []

    def watch():
        try:
            with filelock.FileLock(cache / "cifar10" / ".lock", timeout=0):
                free.append(True)
        except filelock.Timeout:
            free.append(False)

    web.watch = watch
    load_dataset("cifar10")
    assert free
    assert not any(free)
    watch()
    assert free[-1]


def test_data_in_a_folder_that_cannot_be_locked_are_read(web, cache):
    load_dataset("svhn")
    web.fetched.clear()
    (cache / "svhn" / ".lock").unlink(missing_ok=True)
    (cache / "svhn" / ".lock").mkdir()  # as a folder without the right to write: no file can be opened there
    check("svhn", load_dataset("svhn"))
    assert not web.fetched


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
