"""Key numbers and their differences."""

from dataclasses import replace

import numpy as np
import pytest
from cases import synthetic as make

from landscape.figures.report.summary import checkpoints, differences_table, key_numbers, summary_table


def test_key_numbers_stand_side_by_side():
    rows = {row.label: row for row in key_numbers(checkpoints(make.everything("a", "b")))}
    assert rows["Test accuracy"].cell("a") == "95.70%"
    assert rows["Generalization gap"].cell("b") == "0.1980"
    assert rows["λ_max"].cell("a") == "9.00000 ± 0.00090"
    assert rows["SAM sharpness, ρ = 0.05"].cell("b") == "0.02400 ± 0.00040"
    assert rows["λ_max"].cell("c") == ""


def test_the_ggn_s_largest_eigenvalue_is_not_passed_off_as_the_hessian_s():
    results = {key: r for key, r in make.everything("a").items() if r.kind == "spectrum"}
    (spectrum,) = results.values()
    ggn = replace(spectrum, eigenvalues=2 * spectrum.eigenvalues, attributes={**spectrum.attributes, "operator": "ggn"})
    assert "λ_max" not in {row.label for row in key_numbers(checkpoints({"a/ggn": ggn})) if row.numbers}
    both = {row.label: row for row in key_numbers(checkpoints({"a/ggn": ggn, "a/hessian": spectrum}))}
    assert both["λ_max"].numbers["a"].value == spectrum.eigenvalues[0]


def test_of_two_samples_the_larger_one_stands():
    few, many = (
        replace(result, attributes={**result.attributes, "examples": {"train": count}})
        for result, count in ((make.sharpness(sam=0.5), 1000), (make.sharpness(sam=0.25), 50000))
    )
    for results in ({"a/first": few, "a/second": many}, {"a/first": many, "a/second": few}):
        rows = {row.label: row for row in key_numbers(checkpoints(results))}
        assert rows["SAM sharpness, ρ = 0.05"].numbers["a"].value == 0.25


def test_checkpoints_are_compared_on_the_largest_sample_that_all_have():
    def measured(sam, count):
        return replace(make.sharpness(sam=sam), attributes={"examples": {"train": count, "test": 7}})

    results = {"a/few": measured(0.5, 1000), "a/many": measured(0.25, 50000), "b/few": measured(0.4, 1000)}
    (row,) = (row for row in key_numbers(checkpoints(results)) if row.label == "SAM sharpness, ρ = 0.05")
    assert {label: number.value for label, number in row.numbers.items()} == {"a": 0.5, "b": 0.4}
    assert row.explained == f"{row.meaning}, 1,000 examples"
    results["b/others"] = measured(0.3, 50000)
    (row,) = (row for row in key_numbers(checkpoints(results)) if row.label == "SAM sharpness, ρ = 0.05")
    assert {label: number.value for label, number in row.numbers.items()} == {"a": 0.25, "b": 0.3}
    assert row.explained.endswith(", 50,000 examples")
    del results["b/others"], results["a/few"]  # no sample that both have
    (row,) = (row for row in key_numbers(checkpoints(results)) if row.label == "SAM sharpness, ρ = 0.05")
    assert row.explained.endswith(", 50,000 and 1,000 examples")  # in the order of the columns
    results["b/few"] = replace(results["b/few"], attributes={})
    (row,) = (row for row in key_numbers(checkpoints(results)) if row.label == "SAM sharpness, ρ = 0.05")
    assert row.explained == row.meaning  # of one it is not known


def test_a_measure_of_subsets_is_not_said_to_be_of_the_whole_sample():
    sharpness = make.sharpness(sam=0.5)
    measures = tuple(replace(m, parameters={**m.parameters, "m": 128}) for m in sharpness.measures)
    result = replace(sharpness, measures=measures, attributes={"examples": {"train": 50000}})
    (row,) = (row for row in key_numbers(checkpoints({"a/full": result})) if row.label == "SAM sharpness, ρ = 0.05")
    assert row.explained == row.meaning


def test_final_numbers_come_from_the_history_where_nothing_else_has_them():
    history = make.history()
    rows = key_numbers(checkpoints({"a/history": replace(history, attributes={"checkpoint": "a"})}))
    assert rows[0].numbers["a"].value == history.columns["train_loss"][-1]


def test_two_checkpoints_have_a_column_of_differences():
    rows = key_numbers(checkpoints(make.everything("a", "b")))
    table = summary_table(rows, ["a", "b"])
    assert [head.text for head in table.head] == ["Quantity", "a", "b", "Difference"]
    cells = {row[0].text: row[-1] for row in table.rows}
    sam = cells["SAM sharpness, ρ = 0.05"]
    assert sam.text == "+0.01200 ± 0.00057"  # both 0.0004, as independent
    assert sam.small == "× 2.00, not paired: no per-example values"
    assert cells["λ_max"].text == "+9.0000 ± 0.0027"  # bounds add: 0.0009 + 0.0018
    assert cells["Test accuracy"].text == "0.00 pp"
    assert len(summary_table(rows, ["a"]).head) == 2
    assert len(summary_table(rows, ["a", "b", "c"]).head) == 4


def test_three_checkpoints_are_each_compared_with_the_first():
    rows = key_numbers(checkpoints(make.everything(*"abc")))
    table = differences_table(rows, list("abc"))
    sam = next(row for row in table.rows if row[0].text.startswith("SAM"))
    assert [cell.text for cell in sam[1:]] == ["+0.01200 ± 0.00057", "+0.02400 ± 0.00057"]
    assert [head.text for head in table.head] == ["Quantity", "b", "c"]


def test_the_test_accuracy_has_the_error_of_a_proportion_where_the_number_of_examples_is_known():
    data = {"kind": "digits", "examples": {"test": 400}}
    (row,) = (r for r in key_numbers({"a": {"line": make.line("a", data=data)}}) if r.label == "Test accuracy")
    assert row.numbers["a"].stderr == pytest.approx(np.sqrt(0.957 * 0.043 / 400))


def test_one_of_a_curve_stands_for_it():
    from cases import kinds

    rows = [row.label for row in key_numbers({"a": {"curves": kinds.sweep("a")}})]
    assert [label for label in rows if label.startswith("SAM")] == ["SAM sharpness, ρ = 0.05"]
