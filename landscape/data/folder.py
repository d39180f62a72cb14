"""Images in folders, one per class (torchvision's ImageFolder layout), decoded once into one tensor per split."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from landscape.data.cache import cached_arrays
from landscape.data.dataset import Dataset
from landscape.data.npz import dataset_from_arrays
from landscape.data.subset import quota_subset
from landscape.errors import LandscapeError
from landscape.execution.limits import usable_cores

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
HOLD_OUT = 0.1
HOLD_OUT_SEED = 0
DECODING = 2  # version of the decoding; caches of other versions are not used

T = TypeVar("T")
R = TypeVar("R")


class _Image(NamedTuple):
    path: str
    name: str  # relative to the data's folder, with forward slashes
    label: int
    size: int  # bytes
    modified: int  # nanoseconds


def load_folder(path: str | Path, *, image_size: int | None = None) -> Dataset:
    """Return the images under `train/CLASS` and `test/CLASS` (or `val/CLASS`) as one data set.

    Without test and val, a tenth of the training images is held out, stratified and seeded, and `notes` says so. If all
    images are grey there is one channel, else three. The classes are the sorted folder names. Decoded images stay in
    the cache folder until the name, size or modification time of a file changes.

    Args:
        path: The folder that holds `train`.
        image_size: Scales each image so that its shorter side has this many pixels (bilinear, antialiased), and crops
            the square in its centre, as torchvision's `Resize` and `CenterCrop` do. Needed if the images
            differ in size.

    Raises:
        LandscapeError: for a missing folder, no train folder or no images in it, an unreadable image, images of
            different sizes, or more pixels than fit into memory.
    """
    if image_size is not None and image_size < 1:
        raise LandscapeError(f"an image size is at least 1 pixel, got {image_size}")
    root = Path(path)
    train = root / "train"
    if not train.is_dir():
        came = "it is a file" if root.is_file() else "it has no train folder" if root.is_dir() else "it does not exist"
        raise LandscapeError(f"expected images as {root}/train/CLASS/*.jpg, but {came}")
    classes = _class_names(train)
    for split in ("train", "test", "val"):
        _refuse_broken_link(root / split)
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    files = {"train": _list_images(train, classes)} | ({"test": _list_images(test, classes)} if test else {})
    notes = [] if test else [f"no test or val folder: {HOLD_OUT:.0%} of train held out as test (stratified, seed 0)"]
    content = {
        "decoding": DECODING,
        "classes": classes,
        "files": {split: [(image.name, image.size, image.modified) for image in files[split]] for split in files},
    }
    arrays = cached_arrays(
        f"folder {root.resolve()} {image_size}", content, lambda: _decode_splits(files, classes, image_size)
    )
    return replace(dataset_from_arrays("folder", arrays, str(root)), notes=tuple(notes))


def _class_names(train: Path) -> list[str]:
    entries = [entry for entry in train.iterdir() if not entry.name.startswith(".")]
    for entry in entries:
        _refuse_broken_link(entry)
        if not entry.name.isprintable():  # bytes that are no UTF-8 among others: results could not name the class
            raise LandscapeError(f"expected a class name that can be printed, got {entry.name!r} in {train}; rename it")
    classes = sorted(entry.name for entry in entries if entry.is_dir())
    if not classes:
        raise LandscapeError(f"{train} has no class folders; expected images as {train}/CLASS/*.jpg")
    return classes


def _list_images(folder: Path, classes: Sequence[str]) -> list[_Image]:
    """Return the images of a split, sorted by class and name."""
    unknown = [name for name in _class_names(folder) if name not in classes]
    if unknown:
        raise LandscapeError(f"{folder} has the class {unknown[0]!r}, which train has not")
    images = []
    for label, name in enumerate(classes):
        class_images = sorted(_walk(folder / name, folder.parent, label), key=lambda image: image.name)
        if not class_images and folder.name == "train":
            raise LandscapeError(f"{folder / name} holds no images; expected {', '.join(EXTENSIONS)} files")
        images += class_images
    if not images:
        raise LandscapeError(f"{folder} holds no images; expected {', '.join(EXTENSIONS)} files in class folders")
    return images


def _walk(folder: Path, root: Path, label: int) -> Iterator[_Image]:
    # Strings instead of Path objects: five times as fast, for folders of a million images.
    if not folder.is_dir():  # the test split may lack a class
        return
    prefix = len(str(root)) + 1
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        for name in folders:
            _refuse_circle(Path(parent, name))
        for name in names:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                path = os.path.join(parent, name)  # noqa: PTH118
                try:
                    status = os.stat(path)  # noqa: PTH116
                except OSError as error:
                    _refuse(error)
                if not stat.S_ISREG(status.st_mode):
                    raise LandscapeError(f"{path} is a pipe or a device; expected an image, remove it")
                yield _Image(path, path[prefix:].replace(os.sep, "/"), label, status.st_size, status.st_mtime_ns)


def _refuse(error: OSError) -> NoReturn:
    raise LandscapeError(f"cannot read {error.filename}: {error.strerror}; replace or remove it") from error


def _refuse_broken_link(path: Path) -> None:
    """Refuse a broken or circular link, since a class or split would silently be missing."""
    if path.is_symlink() and not path.exists():
        raise LandscapeError(f"{path} is a broken link; mend or remove it")


def _refuse_circle(folder: Path) -> None:
    """Refuse a link to a folder that contains it, whose images would be listed endlessly."""
    if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
        raise LandscapeError(f"{folder} is a link to a folder that holds it; remove it")


def _decode_splits(
    files: dict[str, list[_Image]], classes: Sequence[str], image_size: int | None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz` data set, as `landscape.data.npz` describes them."""
    pixels = _decode_images([image for images in files.values() for image in images], image_size)
    labels = np.array([image.label for images in files.values() for image in images], dtype=np.int64)
    train: Any = slice(len(files["train"]))
    test: Any = slice(len(files["train"]), None)
    if "test" not in files:
        test = _held_out(labels)
        train = np.setdiff1d(np.arange(len(labels)), test)
    return {
        "train_images": pixels[train],
        "train_labels": labels[train],
        "test_images": pixels[test],
        "test_labels": labels[test],
        "classes": np.array(classes, dtype=str),
    }


def _decode_images(images: Sequence[_Image], image_size: int | None) -> NDArray[np.uint8]:
    """Return (N, H, W, C) pixels; all headers are read first, so that images that do not fit are refused at once."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        headers = _map(pool, _header, images)
        differing = next((i for i, header in enumerate(headers) if header[:2] != headers[0][:2]), None)
        if image_size is None and differing is not None:
            raise LandscapeError(
                f"the images differ in size: {images[0].name} is {_size_text(headers[0])}, {images[differing].name} is "
                f"{_size_text(headers[differing])}; choose one with --image-size"
            )
        grey = all(header[2] for header in headers)
        width, height = (image_size, image_size) if image_size else headers[0][:2]
        pixels = _allocate((len(images), height, width, 1 if grey else 3))

        def decode(index: int) -> None:
            pixels[index] = _decode(images[index], grey, image_size)

        _map(pool, decode, range(len(images)))
    return pixels


def _map(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results in order; threads take chunks of items, since one task per item would cost memory."""

    def chunk(start: int) -> list[R]:
        return [function(item) for item in items[start : start + 256]]

    return [result for results in pool.map(chunk, range(0, len(items), 256)) for result in results]


def _allocate(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    try:
        return np.empty(shape, dtype=np.uint8)
    except MemoryError as error:
        count, height, width, channels = shape
        raise LandscapeError(
            f"{count} images of {width}×{height} take {count * height * width * channels / 2**30:.0f} GiB of memory; "
            "choose fewer pixels with --image-size, or fewer images"
        ) from error


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the test split of a folder that has none."""
    if len(labels) < 2:
        raise LandscapeError("one image is too few to hold a test split out; add images or a test folder")
    return quota_subset(torch.from_numpy(labels), max(1, round(HOLD_OUT * len(labels))), HOLD_OUT_SEED).numpy()


def _header(image: _Image) -> tuple[int, int, bool]:
    """Return width, height and True for a grey image, without decoding it."""
    try:
        with Image.open(image.path) as opened:
            mode, (width, height) = opened.mode, opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(image, error) from error
    if mode.startswith(("I", "F")):
        raise LandscapeError(f"{image.name} has {mode} pixels; expected 8 bits per channel")
    return width, height, mode in ("L", "1")


def _decode(image: _Image, grey: bool, image_size: int | None) -> NDArray[np.uint8]:
    """Return (H, W, C) pixels."""
    try:
        with Image.open(image.path) as opened:
            # Palettes with transparent colours go through RGBA; Pillow warns about other conversions.
            decoded = opened.convert("RGBA") if "transparency" in opened.info else opened
            decoded = decoded.convert("L" if grey else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(image, error) from error
    if image_size is not None:
        short = min(decoded.size)
        width, height = (side * image_size // short for side in decoded.size)
        decoded = decoded.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (round((side - image_size) / 2) for side in (width, height))
        decoded = decoded.crop((left, top, left + image_size, top + image_size))
    pixels = np.asarray(decoded, dtype=np.uint8)
    return pixels[..., None] if grey else pixels


def _unreadable(image: _Image, error: Exception) -> LandscapeError:
    reason = " ".join(str(error).replace(image.path, "it").split()) or type(error).__name__
    return LandscapeError(f"cannot read the image {image.path}: {reason}; replace or remove it")


def _size_text(header: tuple[int, int, bool]) -> str:
    return f"{header[0]}×{header[1]}"
