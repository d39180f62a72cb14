"""Chance levels of classifiers."""

import math

import numpy as np
import pytest

from landscape.stats.chance import chance_levels


def test_they_are_those_of_a_uniform_guess():
    levels = chance_levels({"loss": "cross_entropy", "data": {"classes": list("abcdefghij")}})
    uniform, one_hot = np.full(10, 0.1), np.eye(10)
    assert levels["loss"] == pytest.approx(float(-(one_hot * np.log(uniform)).sum(1).mean()))
    assert levels == {"loss": pytest.approx(2.302585), "accuracy": 0.1, "error": 0.9}


def test_the_model_tells_the_classes_that_the_data_do_not_and_other_losses_have_no_level():
    assert chance_levels({"loss": "cross_entropy", "model_arguments": {"num_classes": 4}})["loss"] == math.log(4)
    assert "loss" not in chance_levels({"loss": "mse", "data": {"classes": ["a", "b"]}})
    for unknown in ({}, {"data": None}, {"data": {"classes": ["a"]}}, {"model_arguments": {"num_classes": "ten"}}):
        assert chance_levels(unknown | {"loss": "cross_entropy"}) == {}
