"""The embedded data: the 8×8 handwritten digits that scikit-learn carries with it."""

from __future__ import annotations

import numpy as np
import torch

from landscape.data.dataset import Dataset, Split
from landscape.data.subset import divide

TEST_EXAMPLES = 360
SPLIT_SEED = 0


def load_digits() -> Dataset:
    """Return 1,797 real 8×8 grey images of ten digits, 1,437 to train on and 360 to test, without normalization.

    The test split is `quota_subset(labels, 360, seed=0)`, always the same. Values 0…16 are scaled to 0…255.
    (Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998; the copy in scikit-learn.)
    """
    from sklearn.datasets import load_digits as load  # a second of imports, only for those who use it

    images, targets = load(return_X_y=True)
    inputs = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(targets.astype(np.int64))
    train, test = divide(Split(inputs, labels), TEST_EXAMPLES, seed=SPLIT_SEED)
    return Dataset("digits", {"train": train, "test": test}, tuple("0123456789"))
