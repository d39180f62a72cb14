"""Headings from what was measured, whatever the results are called."""

import pytest
from cases import kinds
from cases import synthetic as make

from landscape.figures.blocks.alternatives import Alternatives, flatten
from landscape.figures.grouping.headings import distinct, largest_sample, with_sample
from landscape.figures.kinds.line import line_blocks
from landscape.figures.kinds.sharpness import sharpness_blocks
from landscape.figures.kinds.spectrum import spectrum_blocks
from landscape.figures.kinds.surface import surface_blocks
from landscape.results import with_attributes

COLOURS = {"a": 0, "b": 1}


def measured_on(result, count, **more):
    return with_attributes(result, examples={"train": count}, **more)


def test_spectra_of_several_samples_stand_behind_a_switch_with_the_largest_chosen():
    results = {
        "a/x": measured_on(make.spectrum("a"), 1000),
        "a/y": measured_on(make.spectrum("a"), 5000),
        "a/z": measured_on(make.spectrum("a"), 1000, operator="ggn"),
    }
    (switch,) = spectrum_blocks(results, COLOURS)
    assert isinstance(switch, Alternatives)
    assert list(switch.options.values()) == [
        "5 eigenvalues (1,000 examples)",
        "5 eigenvalues (5,000 examples)",
        "5 eigenvalues of the Gauss-Newton matrix (1,000 examples)",
    ]
    assert switch.chosen == switch.blocks[1].id
    assert switch.blocks[1].heading == "Largest and smallest eigenvalues (5,000 examples)"
    (alone,) = spectrum_blocks({"a/y": results["a/y"]}, COLOURS)
    assert alone == switch.blocks[1] or alone.heading == switch.blocks[1].heading


def test_one_path_in_several_batchnorm_modes_is_one_switch_and_other_lines_another():
    path = {"kind": "random", "seed": 0, "hashes": ["ab" * 32]}
    results = {}
    for label in "ab":
        results[f"{label}/first"] = make.line(label, n=11, directions=path, batchnorm="fixed")
        results |= {
            f"{label}/{name}": make.line(label, directions=path, batchnorm=mode)
            for name, mode in (("m", "fixed"), ("m-2", "recalibrated"), ("m-3", "batch"))
        }
    line, switch = line_blocks(results, COLOURS)
    assert line.heading == "Along a random direction"
    assert list(switch.options.values()) == ["Fixed", "Re-estimated at each point", "Of each batch"]
    assert {block.heading.partition(":")[0] for block in switch.blocks} == {"BatchNorm statistics along the path"}
    assert [block.keys for block in switch.blocks][1] == ["a/m-2", "b/m-2"]


@pytest.mark.parametrize(
    ("directions", "heading"),
    [
        ({"kind": "random", "seed": 0}, "Along a random direction"),
        ({"kind": "eigenvectors"}, "Along an eigenvector of the Hessian"),
        ({"kind": "gradient"}, "Along the gradient"),
        ({"kind": "new"}, "mine"),  # the name of the result, where nothing better is known
    ],
)
def test_lines_are_named_after_their_direction(directions, heading):
    (block,) = line_blocks({"a/mine": make.line("a", directions=directions)}, COLOURS)
    assert block.heading == heading


def test_planes_stand_behind_a_switch_by_their_directions():
    results = {"a/plane": make.surface("a"), "a/other": make.surface("a", nx=9), "a/pca": kinds.pca_surface("a")}
    (switch,) = surface_blocks(results, COLOURS)
    assert list(switch.options.values()) == [
        "Along two random directions · plane",
        "Along two random directions · other",
        "On the plane of the training trajectory",
    ]
    assert [block.name for block in flatten([switch])] == ["plane", "other", "pca"]


def test_sharpness_of_two_samples_begins_with_the_larger_one():
    results = {"a/all": measured_on(make.sharpness(), 50000), "a/few": measured_on(make.sharpness(), 1000)}
    (switch,) = sharpness_blocks(results, COLOURS)
    assert list(switch.options.values()) == ["50,000 examples", "1,000 examples"]
    assert switch.chosen == switch.blocks[0].id


def test_texts_are_told_apart_by_names_and_samples_by_size():
    assert distinct(["", "b", "b"], ["x", "y", "z"]) == ["x", "b · y", "b · z"]
    assert largest_sample([[make.sharpness()], [measured_on(make.sharpness(), 3)]]) == 1
    assert with_sample("Density", [make.sharpness()]) == "Density"
    both = [measured_on(make.sharpness(), count) for count in (1000, 200)]
    assert with_sample("Density", both) == "Density (200 and 1,000 examples)"
