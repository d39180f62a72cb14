"""Basin widths as brackets at the median radii."""

import numpy as np
import pytest
from cases import kinds

from landscape.figures.figure import figure
from landscape.figures.plots.basin_width import width_texts
from landscape.figures.plots.line import line_figure


def test_widths_are_brackets_at_the_median_radii_above_the_centre():
    drawn = line_figure(kinds.seeded_lines("a", 5, scale=0.6), metrics=["loss"], log=False)
    marks = [trace for trace in drawn.data if (trace.meta or {}).get("mark") == "width"]
    assert [mark.y[0] for mark in marks] == pytest.approx([0.5 + 0.1, 0.5 + 1.0])
    radii = np.sqrt(0.1 / (0.6 * np.arange(1, 6)))
    assert list(marks[0].x) == pytest.approx([-np.median(radii), np.median(radii) / np.sqrt(1.5)])
    both = np.concatenate([radii, radii / np.sqrt(1.5)])
    words = dict(width_texts(list(kinds.seeded_lines("a", 5, scale=0.6).values())))
    assert float(words[0.1].split()[0]) == pytest.approx(np.median(both), rel=0.01)
    assert words[1.0].endswith("not reached by 2 of 10")  # the flattest, c = 0.6, on both sides
    beyond = np.concatenate([np.sqrt(1 / (0.6 * np.arange(1, 6))), np.sqrt(1 / (0.9 * np.arange(1, 6)))])
    assert float(words[1.0].split()[0]) == pytest.approx(np.median(beyond), rel=0.01)  # such count as the largest
    rare = kinds.seeded_lines("a", 2, scale=0.4)  # radii of 1.58 and 1.29, 1.12 and 0.91
    assert dict(width_texts(list(rare.values())))[1.0].startswith("> 1 (> 1 to > 1)")
    assert not [t for t in line_figure(kinds.seeded_lines("a", 5), widths=False).data if (t.meta or {}).get("mark")]


def test_a_width_that_is_nowhere_reached_is_said_and_not_drawn():
    line = kinds.make.line("a", width=[{"rise": 50.0, "left": float("nan"), "right": float("nan")}])
    assert width_texts(line) == [(50.0, "not reached")]
    assert not [trace for trace in figure(line).data if (trace.meta or {}).get("mark")]
    one = kinds.make.line("a", width=[{"rise": 1.0, "left": float("nan"), "right": 0.5}])
    (mark,) = [trace for trace in figure(one).data if (trace.meta or {}).get("mark")]
    assert list(mark.x) == [0.0, 0.5]
