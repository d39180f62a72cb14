"""Short labels of checkpoints."""

from cases import synthetic as make

from landscape.figures.grouping.labels import short_names, shorten
from landscape.figures.plots.barrier import endpoints


def test_what_all_begin_or_end_with_is_left_out():
    assert short_names(["net-c10-sam-s0", "net-c10-adam-s0"]) == {"net-c10-sam-s0": "sam", "net-c10-adam-s0": "adam"}
    assert short_names(["sam", "sam-2"]) == {"sam": "sam", "sam-2": "sam-2"}  # nothing would be left of one


def test_results_get_short_labels_everywhere_and_keep_their_keys():
    results = make.everything("net-sam", "net-adam")
    short, full = shorten(results, ["net-sam", "net-adam"])
    assert "sam/plane" in short
    assert full["sam/plane"] == "net-sam/plane"
    assert full["sam..adam/between"] == "net-sam..net-adam/between"
    assert endpoints(short["sam..adam/between"]) == ("sam", "adam")
    assert short["adam/line"].attributes["checkpoint"] == "adam"
    assert results["net-adam/line"].attributes["checkpoint"] == "net-adam"  # the caller's are as they were


def test_one_checkpoint_keeps_its_label():
    results = make.everything("net-sam")
    assert shorten(results, ["net-sam"]) == (results, {key: key for key in results})
