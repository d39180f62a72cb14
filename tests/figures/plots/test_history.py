"""Training curves: axes, splits, and medians over seeds."""

import dataclasses

import numpy as np
import pytest
from cases import kinds
from cases import synthetic as make

from landscape.errors import LandscapeError
from landscape.figures.plots.history import by_recipe, history_figure


@pytest.mark.parametrize("x", ["epoch", "gradient_evaluations", "seconds"])
def test_history_runs_along_what_was_asked(x):
    history = make.history()
    drawn = history_figure({"a": history}, x=x)
    assert len(drawn.data) == 4
    for trace, column in zip(drawn.data, ("train_loss", "test_loss", "train_accuracy", "test_accuracy"), strict=True):
        np.testing.assert_array_equal(trace.x, history.columns[x])
        np.testing.assert_array_equal(trace.y, history.columns[column])


def test_history_without_a_test_split_or_with_an_unknown_axis():
    history = make.history()
    train = {name: column for name, column in history.columns.items() if not name.startswith("test")}
    assert len(history_figure({"a": type(history)(columns=train)}).data) == 2
    with pytest.raises(LandscapeError, match="one of epoch"):
        history_figure({"a": history}, x="steps")


def curves(drawn):
    return [trace for trace in drawn.data if not trace.fill and not (trace.meta or {}).get("mark")]


@pytest.mark.parametrize("x", ["epoch", "seconds"])
def test_histories_by_recipe_are_medians_over_the_seeds(x):
    runs = kinds.seeded_histories("sam", 3)
    drawn = history_figure(by_recipe(runs), metrics=["loss"], x=x)
    train = curves(drawn)[0]
    np.testing.assert_array_equal(train.y, np.median([run.columns["train_loss"] for run in runs.values()], axis=0))
    np.testing.assert_array_equal(train.x, np.median([run.columns[x] for run in runs.values()], axis=0))
    assert train.name == "sam · train (median of 3)"
    assert len(curves(history_figure(runs, metrics=["loss"]))) == 6


def test_a_run_that_stopped_early_and_a_validation_split_are_drawn():
    runs = kinds.seeded_histories("sam", 2)
    short = {name: column[:2] for name, column in runs["sam-s1"].columns.items()}
    runs["sam-s1"] = dataclasses.replace(runs["sam-s1"], columns=short)
    train = curves(history_figure(by_recipe(runs), metrics=["loss"]))[0]
    np.testing.assert_array_equal(train.y[2:], runs["sam-s0"].columns["train_loss"][2:])
    history = kinds.make.history()
    held = dataclasses.replace(history, columns={**history.columns, "validation_loss": history.columns["test_loss"]})
    assert [t.name for t in history_figure({"a": held}, metrics=["loss"]).data] == [
        "a · train",
        "a · validation",
        "a · test",
    ]
