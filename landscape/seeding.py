"""Random numbers keyed by their use: the same on every machine and in every order of calls (NumPy's Philox)."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

SAMPLE_SEED = 0  # of random samples of examples


def seeded_generator(*key: object) -> np.random.Generator:
    """Return a Philox generator keyed by words and numbers, joined by "/" and hashed by SHA-256.

    >>> seeded_generator("subsets", 3).permutation(8).tolist()
    [1, 0, 6, 2, 5, 4, 7, 3]
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return numbered_generator(int.from_bytes(digest[:16], "little"))


def numbered_generator(key: int) -> np.random.Generator:
    """Return the Philox generator of a 128-bit key.

    >>> int(numbered_generator(0).integers(100))
    3
    """
    return np.random.Generator(np.random.Philox(key=key))


def random_words(count: int, *key: int) -> NDArray[np.uint64]:
    """Return `count` raw 64-bit Philox words, (count,), keyed by non-negative integers.

    NumPy guarantees these bits across versions, but not the distributions that its `Generator` derives from them.

    >>> random_words(2, 4, 5, 1).tolist()
    [7664885152130532670, 7800313660937138425]
    """
    return np.random.Philox(np.random.SeedSequence(key)).random_raw(count)


def derived_seed(*key: object) -> int:
    """Return a seed of 63 bits, for generators of other libraries, keyed by the `repr` of numbers.

    >>> derived_seed(1, 0.5, -0.25)
    6439927761235262725
    """
    digest = hashlib.sha256(" ".join(map(repr, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_indices(examples: int, count: int | None = None) -> NDArray[np.int64]:
    """Return the indices of `count` examples (all by default) drawn at random, always the same ones, (count,).

    Data often lie in the order of their classes: the first thousand would all be of one.

    >>> random_indices(9).tolist()
    [0, 6, 7, 5, 8, 1, 3, 2, 4]
    """
    order = numbered_generator(SAMPLE_SEED).permutation(examples)
    return order[:count].astype(np.int64)
