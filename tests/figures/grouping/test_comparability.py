"""Settings in which results differ."""

from cases import synthetic as make

from landscape.figures.grouping.comparability import differences


def test_results_measured_differently_are_not_shown_without_a_word():
    alike = {"a": make.surface("a"), "b": make.surface("b")}
    assert differences(alike) == ""
    other = make.surface("b", subset=500, directions={"kind": "random", "seed": 1, "normalization": "filter"})
    words = differences({"a": make.surface("a"), "b": other})
    assert "subset): 2000 / 500" in words
    assert "directions (seed)" in words


def test_settings_that_are_meant_to_differ_are_not_complained_about():
    pair = {"a": make.surface("a"), "b": make.surface("b", batchnorm="batch")}
    assert "BatchNorm mode" not in differences(pair, but=("batchnorm",))
    assert "BatchNorm mode" in differences({"a": make.surface(batchnorm="fixed"), "b": pair["b"]})
