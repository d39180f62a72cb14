"""A random subspace of weight space whose n × 100 matrix is drawn again whenever it is needed, never held."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from landscape.results import Floats
from landscape.seeding import seeded_generator

COLUMNS = 100  # Keskar et al.'s

_ROWS = 16384  # drawn at a time


class RandomManifold:
    """The matrix A of (rows, columns) entries from N(0, 1) in float32, each column a Philox stream of its own seed.

    Column i is the same whatever the number of columns. All its products take one pass over the entries, of which a
    block of rows is in memory at a time.
    """

    def __init__(self, rows: int, columns: int = COLUMNS, *, seed: int = 0) -> None:
        self.rows, self.columns, self.seed = rows, columns, seed

    def times(self, z: Floats) -> Floats:
        """Return A z, (rows,), for z of (columns,)."""
        return np.concatenate([block @ z for _, block in self._blocks()])

    def transposed_times(self, v: Floats) -> Floats:
        """Return Aᵀ v, (columns,), for v of (rows,)."""
        total: Floats = np.zeros(self.columns)
        for part, block in self._blocks():
            total += block.T @ v[part]
        return total

    def pseudo_inverse_times(self, x: Floats) -> Floats:
        """Return A⁺x, (columns,), by the normal equations AᵀA a = Aᵀx."""
        return np.asarray(np.linalg.lstsq(self._gram, self.transposed_times(x), rcond=None)[0], dtype=np.float64)

    @cached_property
    def _gram(self) -> Floats:
        gram: Floats = np.zeros((self.columns, self.columns), dtype=np.float64)
        for _, block in self._blocks():
            np.add(gram, block.T @ block, out=gram)
        return gram

    def _blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield blocks of rows, in float64 for the sums."""
        streams = [seeded_generator("manifold", self.seed, column) for column in range(self.columns)]
        drawn = np.empty((self.columns, min(_ROWS, self.rows)), dtype=np.float32)
        for start in range(0, self.rows, _ROWS):
            part = slice(start, min(start + _ROWS, self.rows))
            for column, stream in enumerate(streams):
                stream.standard_normal(out=drawn[column, : part.stop - start], dtype=np.float32)
            yield part, drawn[:, : part.stop - start].T.astype(np.float64)
