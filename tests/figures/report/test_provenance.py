"""Provenance of a figure."""

from cases import synthetic as make

from landscape.figures.report.provenance import origin


def test_a_figure_s_origin_tells_once_what_its_results_share():
    pair = {"a/plane": make.surface("a"), "b/plane": make.surface("b", subset=500)}
    found = origin(list(pair), pair)
    assert found.took == "2 min 28 s"
    assert ("Model", "resnet20, 269,722 parameters") in found.shared
    own = [dict(facts) for _, _, facts in found.results]
    assert [facts["Examples"] for facts in own] == ["subset 2000", "subset 500"]
    assert not set(dict(found.shared)) & set(own[0])
    assert found.commands == [f"landscape surface checkpoints/{label}.pt --points 51" for label in "ab"]
