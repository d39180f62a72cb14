"""Data sets by specification, as given after `--data`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from landscape.data.dataset import Dataset, measure_normalization
from landscape.errors import LandscapeError
from landscape.import_object import import_object
from landscape.storage.user_path import user_path

KINDS = "digits, cifar10, cifar100, svhn, folder:PATH, npz:FILE, package.module:factory or file.py:factory"


def load_dataset(
    spec: str,
    *,
    image_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    normalize: bool | None = None,
) -> Dataset:
    """Return the data set of a specification, whole in memory.

    >>> digits = load_dataset("digits")
    >>> len(digits.splits["train"]), digits.input_shape, digits.normalization
    (1437, (1, 8, 8), 'measured')

    Args:
        spec: "digits", "cifar10", "cifar100", "svhn", "folder:PATH", "npz:FILE", or "package.module:factory" or
            "file.py:factory", a function without arguments that returns a `Dataset`.
        image_size: Side of the square to which a folder's images are scaled (shorter side) and cropped (centre).
        mean: Per channel, of images scaled to 0…1; overrides the values of the file and measured ones.
        std: Per channel, given together with `mean`.
        normalize: False leaves images at 0…1. Otherwise images without stated mean and std are normalized by those
            measured on their train split (the data set of a factory only if this is True).

    Raises:
        LandscapeError: for unknown data, a failed download, missing, damaged or inconsistent files, or contradictory
            settings.
    """
    kind, _, rest = spec.partition(":")
    if image_size is not None and kind != "folder":
        raise LandscapeError(f"an image size is for folder:PATH only, got {image_size} with {spec}")
    if normalize is False and (mean is not None or std is not None):
        raise LandscapeError("mean and std contradict no normalization: give one or the other")
    dataset = _load(spec, kind, rest, image_size)
    if normalize is False:
        return replace(dataset, mean=None, std=None)
    if mean is not None or std is not None:
        return replace(dataset, mean=_floats(mean), std=_floats(std), normalization="stated")
    measured = dataset.mean is None and dataset.is_images and (normalize or dataset.kind != "python")
    if not measured:
        return dataset
    mean, std = measure_normalization(dataset.splits["train"].inputs)
    return replace(dataset, mean=mean, std=std, normalization="measured")


def _load(spec: str, kind: str, rest: str, image_size: int | None) -> Dataset:
    # Local imports: the digits need neither Pillow nor torchvision, a folder no scikit-learn.
    if spec == "digits":
        from landscape.data.digits import load_digits

        return load_digits()
    if spec in ("cifar10", "cifar100", "svhn"):
        from landscape.data.downloads import load_download

        return load_download(spec)
    if kind == "folder" and rest:
        from landscape.data.folder import load_folder

        path = user_path(rest)
        return replace(load_folder(path, image_size=image_size), name=path.resolve().name)
    if kind == "npz" and rest:
        from landscape.data.npz import load_npz

        path = user_path(rest)
        return replace(load_npz(path), name=path.stem)
    if kind in ("folder", "npz") or ":" not in spec:
        raise LandscapeError(f"unknown data {spec!r}: expected {KINDS}")
    source = import_object(spec)
    try:
        dataset = source() if callable(source) else source
    except LandscapeError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise LandscapeError(f"{spec} failed: {reason}") from error
    if not isinstance(dataset, Dataset):
        raise LandscapeError(f"{spec} must return a landscape.data.Dataset, got {type(dataset).__name__}")
    return replace(dataset, kind="python")


def _floats(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)
