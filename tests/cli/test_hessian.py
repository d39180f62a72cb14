import json

import pytest

from landscape.results import Sharpness, Spectrum
from landscape.store import load

QUICK = ("--top", "1", "--params", "linear.*", "--subset", "32")
MEASURES = ("--pairs", "2", "--restarts", "0", "--epsilons", "1e-3", *QUICK[2:])


def test_json_table_file_and_reuse(run, pair) -> None:
    outcome = run("hessian", pair.sam, pair.adam, *pair.data, *QUICK, "--bottom", "1", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert list(found) == ["sam/hessian", "adam/hessian"]
    stored = load("results/sam+adam.h5")["sam/hessian"]
    assert isinstance(stored, Spectrum)
    assert found["sam/hessian"]["eigenvalues"] == stored.eigenvalues.tolist()
    assert found["sam/hessian"]["converged"] == [True, True]
    assert found["sam/hessian"]["attributes"]["examples"] == {"train": 32}
    again = run("hessian", pair.sam, pair.adam, *pair.data, *QUICK, "--bottom", "1")
    assert "sam/hessian is already in results/sam+adam.h5" in again.err
    assert "top 1" in again.out
    assert "bottom 1" in again.out


def test_sharpness_takes_a_known_eigenvalue_from_the_file(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK)
    first = run("sharpness", pair.sam, *pair.data, *MEASURES)
    assert "sam/sharpness: λ_max is taken from the eigenvalues already in results/sam.h5" in first.err
    table, spectrum = load("results/sam.h5")["sam/sharpness"], load("results/sam.h5")["sam/hessian"]
    assert isinstance(table, Sharpness)
    assert isinstance(spectrum, Spectrum)
    assert table.value("λ_max of the Hessian") == spectrum.eigenvalues[0]
    other = run("sharpness", pair.sam, *pair.data, *MEASURES, "--seed", "1")  # of another sample
    assert "taken from" not in other.err
    assert load("results/sam.h5")["sam/sharpness-2"].attributes["seed"] == 1


def test_what_has_not_converged_is_flagged(run, pair) -> None:
    outcome = run("hessian", pair.sam, *pair.data, "--top", "3", "--max-products", "2", *QUICK[2:])
    assert outcome.code == 0
    assert "NO" in outcome.out
    assert "warning: sam/hessian: not all converged; try --max-products above 3" in outcome.err


def test_the_gauss_newton_matrix_has_its_own_name(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK, "--operator", "ggn")
    run("hessian", pair.sam, *pair.data, *QUICK)
    assert {"sam/ggn", "sam/hessian"} < set(load("results/sam.h5"))


def test_sharpness_as_json_and_as_a_table(run, pair) -> None:
    words = ("sharpness", pair.sam, *pair.data, *MEASURES, "--no-lambda-max")
    outcome = run(*words, "--json")
    measures = json.loads(outcome.out)["sam"]["measures"]
    assert [m["name"] for m in measures] == ["keskar", "sam", "average"]
    assert measures[0]["stderr"] == "nan"  # a maximum has no sampling error; NaN is no JSON
    assert measures[1]["stderr"] > 0
    table = run(*words)
    assert "sam/sharpness is already" in table.err
    for measure in measures:
        assert measure["label"] in table.out
        assert measure["meaning"] in table.err


@pytest.mark.parametrize("command", [("hessian", *QUICK), ("sharpness", *MEASURES, "--no-lambda-max")])
def test_the_first_split_counts(run, pair, command) -> None:
    run(command[0], pair.sam, *pair.data, *command[1:], "--splits", "test,train")
    result = load("results/sam.h5")[f"sam/{command[0]}"]
    assert result.attributes["splits"] == ["test"]
