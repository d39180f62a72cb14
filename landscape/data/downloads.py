"""CIFAR-10, CIFAR-100 and SVHN, downloaded and checksummed by torchvision."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from torch import Tensor

from landscape.data.cache import cache_folder
from landscape.data.dataset import Dataset, Split
from landscape.errors import LandscapeError

# Operators for which torchvision 0.23 to 0.28 registers fake kernels at import, although a CUDA build next to a CPU
# build of torch cannot load the library that declares them. Data sets use neither.
OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[
    torch.library.Library
] = []  # referenced, since garbage collection of a library removes its declarations


def load_download(name: str) -> Dataset:
    """Return "cifar10", "cifar100" or "svhn" with its train and test splits, without normalization.

    torchvision downloads missing files into the cache folder. It verifies the checksum of every file at each use and
    fetches broken ones again, such as an interrupted download.

    Raises:
        LandscapeError: if torchvision cannot be imported, or the download fails or is broken.
    """
    datasets = import_datasets()
    root = cache_folder() / name
    try:
        with _locked(root), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's releases differ in what they warn about in pickles of 2009
            splits = {split: _fetch(datasets, name, str(root), split) for split in ("train", "test")}
    except (OSError, RuntimeError, http.client.HTTPException, EOFError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise LandscapeError(
            f"could not download {name} into {root}: {reason}; check network and disk, and run again (what is broken "
            "is fetched again), or use digits, folder:PATH or npz:FILE"
        ) from error
    classes = splits["train"][2]
    return Dataset(name, {split: Split(inputs, labels) for split, (inputs, labels, _) in splits.items()}, classes)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Lock a folder against downloads of other processes, such as those of a run on several GPUs."""
    with contextlib.ExitStack() as stack:
        # A folder that cannot be written or locked may still hold the data.
        with contextlib.suppress(OSError, NotImplementedError):
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(filelock.FileLock(root / ".lock"))
        yield


def _fetch(datasets: Any, name: str, root: str, split: str) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return images (N, C, H, W), labels (N,) and class names."""
    if name == "svhn":
        fetched = datasets.SVHN(root, split=split, download=True)
        images, labels, classes = fetched.data, fetched.labels, tuple("0123456789")
    else:
        maker = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        fetched = maker(root, train=split == "train", download=True)
        images, labels, classes = fetched.data.transpose(0, 3, 1, 2), fetched.targets, tuple(fetched.classes)
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(np.array(labels, dtype=np.int64)), classes


def import_datasets() -> Any:
    """Return the module `torchvision.datasets`, even if torchvision's compiled operators cannot be loaded.

    Raises:
        LandscapeError: if torchvision is missing or broken in another way.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about compiled image readers that it cannot load either
            try:
                return importlib.import_module("torchvision.datasets")
            except RuntimeError as error:
                if "operator torchvision::" not in str(error):
                    raise
                _declare_operators()
                return importlib.import_module("torchvision.datasets")
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise LandscapeError(f"cannot import torchvision: {reason}; install the version that fits torch") from error


def _declare_operators() -> None:
    """Declare the operators that torchvision lacks, and discard its incomplete import."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    _declared.append(library)
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)  # type: ignore[no-untyped-call]
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
