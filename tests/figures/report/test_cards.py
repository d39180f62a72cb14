"""Cards of the first screen, against the tables and the terminal's texts of the same numbers."""

import dataclasses

import numpy as np
import pytest
from cases import kinds
from cases import synthetic as make

from landscape.figures.report.cards import cards
from landscape.figures.report.paired_seeds import colours_of, comparisons, paired_table
from landscape.figures.report.summary import checkpoints, key_numbers, summary_table
from landscape.results import with_attributes


def cards_of(results):
    named = checkpoints(results)
    rows, labels = key_numbers(named), list(named)
    compared = comparisons(named, rows)
    return cards(rows, labels, results, colours_of(labels, compared), compared), rows, labels


def with_widths(results, *labels):
    lines = {key: line for label in labels for key, line in kinds.seeded_lines(label, 3).items()}
    return results | lines


def test_five_cards_show_the_numbers_of_the_table_with_difference_and_ratio():
    results = with_widths(make.everything("a", "b"), "a", "b")
    shown, rows, labels = cards_of(results)
    assert [card.title for card in shown] == [
        "Test accuracy", "Generalization gap", "λ_max", "SAM sharpness, ρ = 0.05", "Basin width",
    ]  # fmt: skip
    table = {row[0].text: row for row in summary_table(rows, labels).rows}
    for card in shown[:4]:
        _, a, b, apart = table[card.title]
        assert [(value.name, value.text) for value in card.values] == [("a", a.text), ("b", b.text)]
        assert card.change.startswith(f"b − a: {apart.text}")
    assert shown[2].change == "b − a: +9.0000 ± 0.0027, × 2.00"
    (width,) = shown[4:]
    radii = [(0.1 / (0.6 * (1 + seed) * side)) ** 0.5 for seed in range(3) for side in (1, 1.5)]
    low, median, high = np.quantile(radii, [0.25, 0.5, 0.75])
    assert [value.text for value in width.values] == [f"{median:.3g} ({low:.3g} to {high:.3g})"] * 2
    assert width.change == "b − a: 0, × 1.00"


def test_an_accuracy_has_the_error_of_a_proportion():
    data = {"kind": "digits", "examples": {"test": 400}}
    shown, *_ = cards_of({f"{label}/line": make.line(label, data=data) for label in "ab"})
    assert [value.text for value in shown[0].values] == ["95.70 ± 1.01%"] * 2


def test_of_one_checkpoint_there_is_nothing_to_compare_and_of_many_the_extremes_are_shown():
    alone, *_ = cards_of(make.everything("a"))
    assert {card.change for card in alone} == {""}
    many, *_ = cards_of(make.everything(*"abcd"))
    sam = many[3]
    assert [value.name for value in sam.values] == ["a", "d"]
    assert sam.change == "d − a: +0.03600 ± 0.00057, × 4.00"


def test_recipes_over_seeds_show_the_paired_difference_with_its_interval():
    results = make.pair_of_recipes()
    shown, rows, _ = cards_of(results)
    (compared,) = comparisons(checkpoints(results), rows)
    table = {row[0].text: row for row in paired_table(compared).rows}
    assert shown
    for card in shown:
        _, first, second, apart = table[card.title]
        assert [value.text for value in card.values] == [first.text, second.text]
        assert apart.text in card.change


def test_widths_of_other_batchnorm_statistics_are_not_the_basin():
    lines = {key: with_attributes(line, batchnorm="recalibrated") for key, line in kinds.seeded_lines("a", 3).items()}
    assert "Basin width" not in [card.title for card in cards_of(lines)[0]]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_width_that_is_not_reached_has_no_ratio(count):
    lines = {}
    for label in "abc"[:count]:
        lines |= kinds.seeded_lines(label, 1, scale=0.05)  # rises by 0.1 beyond the ends of the line
    width = next(card for card in cards_of(lines)[0] if card.title == "Basin width")
    assert width.change == ""
    assert width.values[0].text == "not reached"


def test_results_without_any_of_these_numbers_have_no_cards():
    bare = dataclasses.replace(make.between(), attributes={**make.between().attributes, "final": None})
    assert cards_of({"a..b/between": bare})[0] == []
