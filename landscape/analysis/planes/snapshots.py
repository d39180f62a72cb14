"""Snapshots of the weights along a training run: one file each, read on demand."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import overload

from torch import Tensor

from landscape.errors import LandscapeError
from landscape.models.weight_files import load_weights

SUFFIXES = (".safetensors", ".pt", ".pth")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Snapshots(Sequence[dict[str, Tensor]]):
    """Weight files of one run in order, as a sequence of state dicts that are read on demand and not cached.

    >>> Snapshots(["epoch-1.safetensors", "epoch-10.safetensors"]).positions
    (1.0, 10.0)

    Args:
        paths: the files, in order.
        names: parameters and buffers to select, as for `load_weights`.
        key: entry that holds the weights, as for `load_weights`.

    Attributes:
        paths: the files.
        positions: position of each on the trajectory, ascending: the last number in its name (the epoch), or 0, 1, ...
    """

    def __init__(
        self, paths: Sequence[str | Path], *, names: Collection[str] | None = None, key: str | None = None
    ) -> None:
        self.paths = tuple(Path(path) for path in paths)
        self.positions = _positions(self.paths)
        self._names = names
        self._key = key

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> dict[str, Tensor]: ...

    @overload
    def __getitem__(self, index: slice) -> Snapshots: ...

    def __getitem__(self, index: int | slice) -> dict[str, Tensor] | Snapshots:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return load_weights(self.paths[index], names=self._names, key=self._key)[0]

    def take(self, indices: Iterable[int]) -> Snapshots:
        """Return some of the snapshots, at the positions that they have here."""
        chosen = list(indices)
        taken = Snapshots([self.paths[index] for index in chosen], names=self._names, key=self._key)
        taken.positions = tuple(self.positions[index] for index in chosen)
        return taken


def every_nth(snapshots: Snapshots, every: int) -> Snapshots:
    """Return the first, every so many, and the last of some snapshots."""
    last = len(snapshots) - 1
    if every == 1 or last % every == 0:
        return snapshots[::every]
    return snapshots.take([*range(0, last, every), last])


def find_snapshots(folder: str | Path, *, names: Collection[str] | None = None, key: str | None = None) -> Snapshots:
    """Return the snapshots in a folder: its weight files, ordered by the numbers in their names.

    If there are files `epoch-<number>.safetensors`, which `landscape train --snapshots` writes, others are ignored.

    >>> import pathlib, tempfile, landscape
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for epoch in (10, 9):
    ...         (pathlib.Path(folder) / f"epoch-{epoch}.safetensors").touch()
    ...     landscape.find_snapshots(folder).positions
    (9.0, 10.0)

    Args:
        folder: its path.
        names: parameters and buffers to select, as for `load_weights`.
        key: entry that holds the weights, as for `load_weights`.

    Raises:
        LandscapeError: for a folder that is missing or holds fewer than two snapshots.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LandscapeError(
            f"no folder {folder} of snapshots; train with --snapshots, or name the folder or the files"
        )
    files = [path for path in folder.iterdir() if path.suffix in SUFFIXES]
    epochs = [path for path in files if path.match("epoch-*.safetensors")]
    chosen = sorted(epochs or files, key=_natural_key)
    if len(chosen) < 2:
        raise LandscapeError(
            f"{folder} holds {len(chosen)} weight files; expected the snapshots of a run, at least two of them"
        )
    return Snapshots(chosen, names=names, key=key)


def _natural_key(path: Path) -> tuple[tuple[float | str, ...], str]:
    """Return a sort key that places 9 before 10, and 3 before 3.5."""
    parts: list[float | str] = list(_NUMBER.split(path.stem))
    numbers = [float(number) for number in _NUMBER.findall(path.stem)]
    mixed = [part for pair in zip(parts, [*numbers, -1.0], strict=True) for part in pair]
    return tuple(mixed), path.name


def _positions(paths: Sequence[Path]) -> tuple[float, ...]:
    """Return the last number in each file's name if they ascend, else 0, 1, ..."""
    numbers_in_names = [_NUMBER.findall(path.stem) for path in paths]
    if all(numbers_in_names):
        positions = tuple(float(numbers[-1]) for numbers in numbers_in_names)
        if all(a < b for a, b in itertools.pairwise(positions)):
            return positions
    return tuple(float(index) for index in range(len(paths)))
