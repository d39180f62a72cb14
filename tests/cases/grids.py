"""Grids of points in the unit square."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def grid(n: int) -> NDArray[Any]:
    u = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1).reshape(-1, 2)
