"""Sentences of the verdict."""

from cases import synthetic as make

from landscape.figures.report.paired_seeds import comparisons, paired_table
from landscape.figures.report.summary import checkpoints, key_numbers
from landscape.figures.report.verdict import barriers, headline, verdict


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


def compared(**options):
    named = checkpoints(make.pair_of_recipes(**options))
    rows = key_numbers(named)
    return rows, named, comparisons(named, rows)


def test_the_verdict_over_seeds_names_recipes_and_what_stays_open():
    rows, named, found = compared()
    words = verdict(rows, list(named), found)
    assert words[0].startswith("Over 3 seeds, sam is flatter than adam by λ_max (")
    assert any(sentence.startswith("sam has the higher test accuracy: +") for sentence in words)
    assert any(sentence.startswith("Not settled") and "Keskar" in sentence for sentence in words)
    assert "Student" in words[-1]
    table = paired_table(found[0])
    assert [row[0].text for row in table.rows][:2] == ["Train loss", "Test loss"]
    keskar = next(row for row in table.rows if row[0].text.startswith("Keskar"))
    assert keskar[-1].small == "includes 0"


def test_barriers_are_told_in_words():
    from cases import kinds

    told = barriers({"a..b/between": make.between(), "a..b/curve": kinds.bezier(), "a/line": make.line()})
    assert told == [
        "On the straight line from a to b the train loss has a barrier of 2.00 ± 0.10.",
        "On the curve from a to b the train loss has a barrier of 0.200 ± 0.010.",
    ]


def test_the_headline_is_one_sentence_with_the_counts_of_the_terminal(capsys):
    from landscape.cli.tables.sharpness import print_sharpness

    results = {"a": make.sharpness(), "b": make.sharpness(keskar=3.6, sam=0.05, average=9e-5)}
    named = {label: {"sharpness": result} for label, result in results.items()}
    sentence = headline(key_numbers(named), list(named))
    print_sharpness(results)
    counts, accuracy = sentence.split("; ")
    assert counts == "a is flattest by 3 of 3 measures, clearly by 2 of them"
    assert f"{counts}: by more than 2 standard errors" in capsys.readouterr().err
    assert accuracy == "their test accuracies are too close to call (0.00 pp)."


def test_the_headline_over_seeds_is_the_first_finding_and_without_flatness_the_accuracy():
    rows, named, found = compared()
    assert headline(rows, list(named), found) == verdict(rows, list(named), found)[0]
    lines = checkpoints({"a/line": make.line("a"), "b/line": make.line("b")})
    assert headline(key_numbers(lines), ["a", "b"]) == "Their test accuracies are too close to call (0.00 pp)."
    assert headline(key_numbers({"a": lines["a"]}), ["a"]) == ""
