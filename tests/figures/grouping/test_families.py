"""Families of lines and runs that differ in their seed."""

import dataclasses

from cases import kinds

from landscape.figures.grouping.families import families, seeds


def test_families_of_a_file_by_family_and_checkpoint():
    results = {**kinds.seeded_lines("a", 3), **kinds.seeded_lines("b", 2), "b/zoom": kinds.make.line("b")}
    results |= {"a..b/between": kinds.make.between(), "a/plane": kinds.make.surface("a")}
    found = families(results)
    assert {name: {label: len(lines) for label, lines in by.items()} for name, by in found.items()} == {
        "line": {"a": 3, "b": 2},
        "zoom": {"b": 1},
    }


def test_runs_that_differ_in_nothing_but_the_seed_are_grouped_by_recipe():
    runs = {**kinds.seeded_histories("sam", 3), **kinds.seeded_histories("adam", 2)}
    assert seeds(runs) == {"sam": ["sam-s0", "sam-s1", "sam-s2"], "adam": ["adam-s0", "adam-s1"]}
    other = dataclasses.replace(runs["sam-s0"], attributes={**runs["sam-s0"].attributes, "model": "resnet56"})
    assert set(seeds({**runs, "big": other})) == {"sam, resnet20, digits", "sam, resnet56, digits", "adam"}
    assert seeds({"x": kinds.make.history("x")}) == {"x": ["x"]}
