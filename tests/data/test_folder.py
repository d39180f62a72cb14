import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from landscape.data import load_dataset
from landscape.data.cache import cache_folder
from landscape.data.downloads import import_datasets
from landscape.errors import LandscapeError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("LANDSCAPE_CACHE", str(folder))
    return folder


def refused(spec, **options):
    """The message of the one-line refusal to load a data set."""
    with pytest.raises(LandscapeError) as caught:
        load_dataset(str(spec), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def random_images(count, height=4, width=4, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def make_folder(root, splits=("train", "test"), classes=("cat", "dog"), count=5, mode="RGB", size=(6, 4)):
    """Write PNGs (lossless) and return their pixels by relative name."""
    pixels = {}
    for split in splits:
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                array = random_images(1, size[1], size[0], 3 if mode == "RGB" else 1, seed=len(pixels) + label)[0]
                image = Image.fromarray(array if mode == "RGB" else array[..., 0])
                image.save(root / split / name / f"{index}.png")
                pixels[f"{split}/{name}/{index}.png"] = array
    return pixels


@pytest.mark.parametrize("second", ["test", "val"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_folder_loads_the_written_images(tmp_path, second, mode):
    pixels = make_folder(tmp_path / "data", ("train", second), mode=mode)
    (tmp_path / "data" / "train" / ".hidden").mkdir()
    (tmp_path / "data" / "train" / "cat" / "notes.txt").write_text("no image")
    dataset = load_dataset(f"folder:{tmp_path / 'data'}")
    assert dataset.classes == ("cat", "dog")
    assert dataset.notes == ()
    for split, name in (("train", "train"), ("test", second)):
        expected = np.stack([array for key, array in pixels.items() if key.startswith(name)])
        np.testing.assert_array_equal(dataset.splits[split].inputs.numpy(), expected.transpose(0, 3, 1, 2))
        assert dataset.splits[split].labels.tolist() == [0] * 5 + [1] * 5


def test_one_colour_image_makes_all_of_them_rgb(tmp_path):
    make_folder(tmp_path, mode="L")
    Image.fromarray(random_images(1, 4, 6)[0]).save(tmp_path / "test" / "dog" / "4.png")
    Image.new("P", (6, 4)).save(tmp_path / "test" / "dog" / "5.png", transparency=b"\x00\x10")
    dataset = load_dataset(f"folder:{tmp_path}")
    train = dataset.splits["train"].inputs
    assert dataset.input_shape == (3, 4, 6)
    assert torch.equal(train[:, 0], train[:, 1])
    np.testing.assert_array_equal(dataset.splits["test"].inputs[9].permute(1, 2, 0).numpy(), random_images(1, 4, 6)[0])


def test_without_a_test_folder_a_tenth_is_held_out_and_said(tmp_path):
    pixels = make_folder(tmp_path, ("train",), ("a", "b", "c"), count=20)
    dataset = load_dataset(f"folder:{tmp_path}")
    train, test = dataset.splits["train"], dataset.splits["test"]
    assert torch.bincount(test.labels).tolist() == [2, 2, 2]
    assert len(train) == 54
    both = {image.numpy().tobytes() for split in (train, test) for image in split.inputs}
    assert both == {array.transpose(2, 0, 1).tobytes() for array in pixels.values()}
    assert "10% of train held out" in dataset.notes[0]
    again = load_dataset(f"folder:{tmp_path}")  # from the cache
    assert again.fingerprint("test") == dataset.fingerprint("test")
    assert again.notes == dataset.notes


def test_mixed_sizes_need_an_image_size(tmp_path):
    make_folder(tmp_path, mode="L")
    gradient = np.repeat(np.arange(64, dtype=np.uint8)[None] * 4, 32, axis=0)
    Image.fromarray(gradient).save(tmp_path / "test" / "cat" / "0.png")
    message = refused(f"folder:{tmp_path}")
    assert "train/cat/0.png is 6×4, test/cat/0.png is 64×32; choose one with --image-size" in message
    dataset = load_dataset(f"folder:{tmp_path}", image_size=8)
    assert dataset.input_shape == (1, 8, 8)
    # 64×32 becomes 16×8, of which columns 4…11 stay: each about the mean of four source columns.
    expected = gradient[0].reshape(16, 4).mean(axis=1)[4:12]
    np.testing.assert_allclose(dataset.splits["test"].inputs[0, 0, 4].numpy(), expected, atol=1.5)
    assert "at least 1 pixel" in refused(f"folder:{tmp_path}", image_size=0)


def test_many_images_of_mixed_sizes_are_torchvisions_resize_and_centre_crop(tmp_path):
    import_datasets()  # torchvision, whatever torch stands beside it
    from torchvision import transforms

    generator = np.random.default_rng(0)
    expected, oracle = [], transforms.Compose([transforms.Resize(8), transforms.CenterCrop(8)])
    for index in range(600):
        width, height = generator.integers(1, 50, 2)
        array = random_images(1, height, width, seed=index)[0]
        image = Image.fromarray(array[..., 0] if index % 3 == 0 else array)
        folder = tmp_path / ("train" if index < 500 else "val") / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index:03}.png")
        expected.append(np.asarray(oracle(image.convert("RGB"))).transpose(2, 0, 1))
    dataset = load_dataset(f"folder:{tmp_path}", image_size=8)
    for split, numbers in (("train", range(500)), ("test", range(500, 600))):
        order = sorted(numbers, key=lambda index: (index % 2, index))  # by class, then by name
        np.testing.assert_array_equal(dataset.splits[split].inputs.numpy(), np.stack([expected[i] for i in order]))
        assert dataset.splits[split].labels.tolist() == [index % 2 for index in order]


def test_more_pixels_than_memory_are_refused_in_one_line(tmp_path):
    make_folder(tmp_path)
    assert "GiB of memory; choose fewer pixels with --image-size" in refused(f"folder:{tmp_path}", image_size=10**7)


def test_cache_is_used_refreshed_and_healed(tmp_path, cache, monkeypatch):
    make_folder(tmp_path / "data")
    spec = f"folder:{tmp_path / 'data'}"
    fingerprint = load_dataset(spec).fingerprint("train")
    (file,) = cache.iterdir()
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda path: pytest.fail("decoded again"))
    assert load_dataset(spec).fingerprint("train") == fingerprint
    monkeypatch.setattr(Image, "open", real)
    content = file.read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:500] + b"?" + content[501:]):
        file.write_bytes(damaged)
        assert load_dataset(spec).fingerprint("train") == fingerprint
        assert file.read_bytes() == content
    Image.fromarray(random_images(1, 4, 6, seed=99)[0]).save(tmp_path / "data" / "train" / "cat" / "0.png")
    assert load_dataset(spec).fingerprint("train") != fingerprint
    assert [entry.name for entry in cache.iterdir()] != [file.name]  # replaced, not added
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_skipped(tmp_path, monkeypatch):
    make_folder(tmp_path / "data")
    (tmp_path / "file").touch()
    monkeypatch.setenv("LANDSCAPE_CACHE", str(tmp_path / "file"))
    assert len(load_dataset(f"folder:{tmp_path / 'data'}").splits["train"]) == 10


def test_cache_folder_is_the_platforms(monkeypatch, tmp_path):
    for variable in ("LANDSCAPE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    for platform, expected in (
        ("linux", ".cache/landscape"),
        ("darwin", "Library/Caches/landscape"),
        ("win32", "AppData/Local/landscape"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == tmp_path / expected


def test_folders_that_do_not_fit_are_refused(tmp_path):
    spec = f"folder:{tmp_path / 'data'}"
    assert "does not exist" in refused(spec)
    (tmp_path / "data").mkdir()
    assert "has no train folder" in refused(spec)
    (tmp_path / "data" / "train").mkdir()
    assert "no class folders" in refused(spec)
    (tmp_path / "data" / "train" / "cat").mkdir()
    assert "holds no images" in refused(spec)
    make_folder(tmp_path / "data", ("train", "test"), ("dog",))
    Image.new("RGB", (6, 4)).save(tmp_path / "data" / "train" / "cat" / "0.png")
    (tmp_path / "data" / "test" / "cow").mkdir()
    assert "class 'cow'" in refused(spec)
    (tmp_path / "data" / "test" / "cow").rmdir()
    bad = tmp_path / "data" / "train" / "dog" / "3.png"
    content = bad.read_bytes()
    for damaged in (b"", b"no image", content[:50], content[: len(content) // 2]):
        bad.write_bytes(damaged)
        assert str(bad) in refused(spec)
    Image.new("I;16", (6, 4)).save(bad)
    assert "expected 8 bits" in refused(spec)
    bad.write_bytes(content)
    assert load_dataset(spec).classes == ("cat", "dog")


@pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and names of Unix")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "train/cat/x.png").symlink_to("nowhere.png"), "x.png: No such file or directory"),
        (lambda root: (root / "train/cat/x.png").symlink_to("x.png"), "x.png: Too many levels of symbolic links"),
        (
            lambda root: (root / "train/cat/sub").symlink_to(root / "train/cat"),
            "sub is a link to a folder that holds it",
        ),
        (lambda root: (root / "train/cat/sub").symlink_to(root), "sub is a link to a folder that holds it"),
        (lambda root: (root / "train/cow").symlink_to("nowhere"), "cow is a broken link"),
        (lambda root: (root / "train/cow").symlink_to("cow"), "cow is a broken link"),
        (lambda root: (root / "val").symlink_to("nowhere"), "val is a broken link"),
        (lambda root: os.mkfifo(root / "train/cat/x.png"), "x.png is a pipe or a device; expected an image"),
        (lambda root: (root / "train/c\udcff").mkdir(), "a class name that can be printed, got 'c\\udcff'"),
    ],
)
def test_links_that_lead_nowhere_and_files_that_are_none_are_refused(tmp_path, damage, words):
    make_folder(tmp_path / "data", splits=("train",))
    damage(tmp_path / "data")
    assert words in refused(f"folder:{tmp_path / 'data'}")


@pytest.mark.skipif(sys.platform == "win32", reason="links of Unix")
def test_links_that_lead_elsewhere_are_followed(tmp_path):
    make_folder(tmp_path / "data", splits=("train",))
    whole = load_dataset(f"folder:{tmp_path / 'data'}")
    (tmp_path / "data/train/cat").rename(tmp_path / "elsewhere")
    (tmp_path / "data/train/cat").symlink_to(tmp_path / "elsewhere")
    linked = load_dataset(f"folder:{tmp_path / 'data'}")
    assert torch.equal(whole.splits["train"].inputs, linked.splits["train"].inputs)
