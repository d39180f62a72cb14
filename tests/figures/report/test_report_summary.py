from dataclasses import replace

import numpy as np
import pytest
from cases import synthetic as make
from scipy import stats

from landscape.figures.grouping.comparability import differences
from landscape.figures.report.paired_seeds import colours_of, comparisons, paired_table
from landscape.figures.report.summary import checkpoints, differences_table, key_numbers, summary_table
from landscape.figures.report.verdict import barriers, verdict


def test_key_numbers_stand_side_by_side():
    rows = {row.label: row for row in key_numbers(checkpoints(make.everything("a", "b")))}
    assert rows["Test accuracy"].cell("a") == "95.70%"
    assert rows["Generalization gap"].cell("b") == "0.1980"
    assert rows["λ_max"].cell("a") == "9.0000 ± 0.00090"
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


def sentences(*results):
    named = {label: {"sharpness": result} for label, result in zip("abc", results, strict=False)}
    return verdict(key_numbers(named), list(named))


def test_the_verdict_says_who_is_flatter_by_what_and_who_knows():
    agreeing = sentences(make.sharpness(), make.sharpness(keskar=3.6, sam=0.05, average=9e-5))
    assert agreeing[0].startswith("a is flatter by SAM sharpness, ρ = 0.05 (4.2× lower) and Average-case")
    assert "disagree" not in "".join(agreeing)
    assert agreeing[1] == (
        "Without an uncertainty, so that the order is not proven: Keskar ε-sharpness, ε = 0.001 (a: 2.0× lower)."
    )
    assert "not which optimizer" in agreeing[-1]

    split = sentences(make.sharpness(average=1e-5), make.sharpness(average=3e-5, sam=0.001))
    assert [sentence.split(" by ")[0] for sentence in split[:2]] == ["b is flatter", "a is flatter"]
    assert "disagree" in split[2]


def test_the_verdict_knows_noise_from_difference():
    close = sentences(make.sharpness(sam=0.0120), make.sharpness(sam=0.0130, keskar=1.8))
    assert not any(sentence.startswith(("a is flatter", "b is flatter")) for sentence in close)
    assert any("SAM" in sentence for sentence in close if "Too close" in sentence)
    assert sentences(make.sharpness()) == []


def test_three_checkpoints_have_a_flattest():
    found = sentences(*(make.sharpness(keskar=k, sam=s) for k, s in ((1, 0.1), (2, 0.2), (3, 0.3))))
    assert found[0].startswith("a is flattest by")


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


def test_two_checkpoints_have_a_column_of_differences():
    rows = key_numbers(checkpoints(make.everything("a", "b")))
    table = summary_table(rows, ["a", "b"])
    assert [head.words for head in table.head] == ["Quantity", "a", "b", "Difference"]
    cells = {row[0].words: row[-1] for row in table.rows}
    sam = cells["SAM sharpness, ρ = 0.05"]
    assert sam.words == "+0.01200 ± 0.00057"  # both 0.0004, as independent
    assert sam.small == "× 2.00, not paired: no per-example values"
    assert cells["λ_max"].words == "+9.0000 ± 0.0027"  # bounds add: 0.0009 + 0.0018
    assert cells["Test accuracy"].words == "0.00 pp"
    assert len(summary_table(rows, ["a"]).head) == 2
    assert len(summary_table(rows, ["a", "b", "c"]).head) == 4


def test_three_checkpoints_are_each_compared_with_the_first():
    rows = key_numbers(checkpoints(make.everything(*"abc")))
    table = differences_table(rows, list("abc"))
    sam = next(row for row in table.rows if row[0].words.startswith("SAM"))
    assert [cell.words for cell in sam[1:]] == ["+0.01200 ± 0.00057", "+0.02400 ± 0.00057"]
    assert [head.words for head in table.head] == ["Quantity", "b", "c"]


def test_the_test_accuracy_has_the_error_of_a_proportion_where_the_number_of_examples_is_known():
    data = {"kind": "digits", "examples": {"test": 400}}
    (row,) = (r for r in key_numbers({"a": {"line": make.line("a", data=data)}}) if r.label == "Test accuracy")
    assert row.numbers["a"].stderr == pytest.approx(np.sqrt(0.957 * 0.043 / 400))


def test_one_of_a_curve_stands_for_it():
    from cases import kinds

    rows = [row.label for row in key_numbers({"a": {"curves": kinds.sweep("a")}})]
    assert [label for label in rows if label.startswith("SAM")] == ["SAM sharpness, ρ = 0.05"]


# several seeds


def compared(**options):
    named = checkpoints(make.pair_of_recipes(**options))
    rows = key_numbers(named)
    return rows, named, comparisons(named, rows)


def test_paired_differences_are_student_s_over_the_seeds():
    rows, _, (found,) = compared()
    assert (found.first, found.second) == ("adam", "sam")
    assert found.labels == [(f"net-adam-s{s}", f"net-sam-s{s}") for s in (0, 1, 2)]
    quantities = {one.row.label: one for one in found.quantities}
    (row,) = (row for row in rows if row.label == "Test loss")
    adam, sam = ([row.numbers[f"net-{r}-s{s}"].value for s in (0, 1, 2)] for r in ("adam", "sam"))
    interval = stats.ttest_rel(sam, adam).confidence_interval(0.95)
    one = quantities["Test loss"]
    assert (one.difference.low, one.difference.high) == pytest.approx(tuple(interval))
    assert (one.first.mean, one.first.deviation) == pytest.approx((np.mean(adam), np.std(adam, ddof=1)))
    assert one.difference.count == 3
    assert quantities["λ_max"].difference.clear
    assert not quantities["Keskar ε-sharpness, ε = 0.001"].difference.clear


def test_the_verdict_over_seeds_names_recipes_and_what_stays_open():
    rows, named, found = compared()
    words = verdict(rows, list(named), found)
    assert words[0].startswith("Over 3 seeds, sam is flatter than adam by λ_max (")
    assert any(sentence.startswith("sam has the higher test accuracy: +") for sentence in words)
    assert any(sentence.startswith("Not settled") and "Keskar" in sentence for sentence in words)
    assert "Student" in words[-1]
    table = paired_table(found[0])
    assert [row[0].words for row in table.rows][:2] == ["Train loss", "Test loss"]
    keskar = next(row for row in table.rows if row[0].words.startswith("Keskar"))
    assert keskar[-1].small == "includes 0"


def test_checkpoints_of_a_recipe_that_is_compared_share_a_colour():
    _, named, found = compared()
    colours = colours_of([*named, "other"], found)
    assert {label.split("-")[1]: index for label, index in colours.items() if label != "other"} == {"adam": 0, "sam": 1}
    assert colours["other"] == 2
    assert colours_of(["a", "b"], []) == {"a": 0, "b": 1}


def test_one_seed_or_an_ambiguous_pairing_is_not_compared():
    assert compared(seeds=(0,))[2] == []
    results = make.pair_of_recipes()
    twice = {
        f"again/{key.rpartition('/')[2]}": result for key, result in results.items() if key.startswith("net-sam-s0/")
    }
    named = checkpoints(results | twice)
    assert comparisons(named, key_numbers(named)) == []


def test_barriers_are_told_in_words():
    from cases import kinds

    told = barriers({"a..b/between": make.between(), "a..b/curve": kinds.bezier(), "a/line": make.line()})
    assert told == [
        "On the straight line from a to b the train loss has a barrier of 2.00 ± 0.10.",
        "On the curve from a to b the train loss has a barrier of 0.200 ± 0.010.",
    ]
