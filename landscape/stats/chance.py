"""Chance level of a classifier: the loss and the accuracy of a uniform guess."""

from __future__ import annotations

import math

from landscape.results import Attributes


def chance_levels(attributes: Attributes) -> dict[str, float]:
    """Return loss, accuracy and error of guessing uniformly, by metric: ln C, 1/C and 1 − 1/C of C classes.

    Args:
        attributes: of a result; the number of classes is that of the data, else of the model. Empty if neither is
            recorded; the loss only if it is the cross-entropy.

    >>> chance_levels({"loss": "cross_entropy", "data": {"classes": ["cat", "dog"]}})["loss"]
    0.6931471805599453
    """
    classes = len((attributes.get("data") or {}).get("classes") or ())
    classes = classes or (attributes.get("model_arguments") or {}).get("num_classes") or 0
    if not isinstance(classes, int) or classes < 2:
        return {}
    levels = {"accuracy": 1 / classes, "error": 1 - 1 / classes}
    return levels | ({"loss": math.log(classes)} if attributes.get("loss") == "cross_entropy" else {})
