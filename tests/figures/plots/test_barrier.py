"""Lines between checkpoints: endpoints and the marked barrier."""

import dataclasses

import numpy as np
import pytest
from cases import kinds
from cases import synthetic as make

from landscape.figures.figure import figure
from landscape.figures.plots.barrier import barrier, endpoints


@pytest.mark.parametrize("log", [True, False])
def test_between_names_both_ends_and_marks_the_barrier(log):
    line = make.between("first", "second")
    drawn = figure(line, log=log)
    words = [note.text for note in drawn.layout.annotations]
    assert words[:2] == ["first", "second"]
    mark = next(trace for trace in drawn.data if trace.name and trace.name.startswith("barrier"))
    assert list(mark.x) == [0.5, 0.5]
    assert mark.y[0] == pytest.approx(0.15)
    assert mark.y[1] == pytest.approx(2.15)
    assert "2.00 ± 0.10" in mark.name
    label = drawn.layout.annotations[-1].y
    assert 0.15 < (10**label if log else label) < 2.15


def test_between_works_with_what_attributes_it_has():
    line = make.between(checkpoints=[], barrier=None)
    assert endpoints(line) == ("a", "b")
    assert barrier(line, "loss") is None
    per_split = make.between(barrier={"train": {"loss": {"value": 1.0, "at": 0.2}}})
    assert barrier(per_split, "loss") == {"value": 1.0, "at": 0.2, "split": "train"}


def test_the_barrier_as_commands_store_it_stands_on_the_line_between_the_ends_with_its_error():
    alpha = np.linspace(-0.5, 1.5, 9)  # the line goes on beyond both ends
    rows = kinds.make.rows(
        alpha, [0.0], ("train", "test"), ("loss",), lambda t, _, s: 1 + s + t + 2 * np.sin(np.pi * t)
    )
    barrier = {s: {"loss": {"value": 2.0, "stderr": 0.25, "at": 0.5}} for s in ("train", "test")}
    line = dataclasses.replace(
        kinds.make.between("a", "b", barrier=barrier),
        alpha=alpha,
        splits=("train", "test"),
        points=kinds.points_table(rows),
    )
    drawn = figure(line)
    (mark,) = [trace for trace in drawn.data if (trace.meta or {}).get("mark") == "barrier"]
    assert list(mark.x) == [0.5, 0.5]
    assert list(mark.y) == pytest.approx([1.5, 3.5])  # between losses 1 and 2 at t = 0 and 1, not those at ±0.5
    assert list(mark.error_y.array) == [0, 0.25]
    assert "2.00 ± 0.25" in mark.name
