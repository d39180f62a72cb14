"""Embedded data: the 8×8 handwritten digits that ship with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch

from landscape.data.dataset import Dataset, Split
from landscape.data.subset import divide

TEST_EXAMPLES = 360
SPLIT_SEED = 0


def load_digits() -> Dataset:
    """Return 1,797 grey 8×8 images of handwritten digits, 1,437 for training and 360 for testing, not normalized.

    The test split is `quota_subset(labels, 360, seed=0)`, the same on every machine. Values 0…16 are scaled to 0…255.
    (Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998; the copy in scikit-learn.)
    """
    from sklearn.datasets import load_digits as load  # an import of a second, needed by this data set alone

    images, targets = load(return_X_y=True)
    inputs = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(targets.astype(np.int64))
    train, test = divide(Split(inputs, labels), TEST_EXAMPLES, seed=SPLIT_SEED)
    return Dataset("digits", {"train": train, "test": test}, tuple("0123456789"))
