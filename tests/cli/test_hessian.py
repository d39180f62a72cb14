import json

from landscape.results import Spectrum
from landscape.store import load

QUICK = ("--top", "1", "--params", "linear.*", "--subset", "32")


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


def test_what_has_not_converged_is_flagged(run, pair) -> None:
    outcome = run("hessian", pair.sam, *pair.data, "--top", "3", "--max-products", "2", *QUICK[2:])
    assert outcome.code == 0
    assert "NO" in outcome.out
    assert "warning: sam/hessian: not all converged; try --max-products above 3" in outcome.err


def test_the_gauss_newton_matrix_has_its_own_name(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK, "--operator", "ggn")
    run("hessian", pair.sam, *pair.data, *QUICK)
    assert {"sam/ggn", "sam/hessian"} < set(load("results/sam.h5"))


def test_the_first_split_counts(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK, "--splits", "test,train")
    assert load("results/sam.h5")["sam/hessian"].attributes["splits"] == ["test"]
