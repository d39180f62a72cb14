import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from cases.workers import PackedWorkers
from safetensors.numpy import load_file

from landscape.analysis.operators.determinism import DeterminismWarning
from landscape.analysis.operators.rounding import MatvecRounding
from landscape.cli.terminal.warned import in_one_line
from landscape.results import DensityResult, LayersResult, SpectrumResult
from landscape.storage.loading import load

QUICK = ("--top", "1", "--params", "linear.*", "--subset", "32")


def test_json_table_file_and_reuse(run, pair) -> None:
    outcome = run("hessian", pair.sam, pair.adam, *pair.data, *QUICK, "--bottom", "1", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert list(found) == ["sam/hessian", "adam/hessian"]
    stored = load("results/sam+adam.h5")["sam/hessian"]
    assert isinstance(stored, SpectrumResult)
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


def test_where_rounding_is_in_the_way_more_products_are_not_advised(run, pair, monkeypatch) -> None:
    monkeypatch.setattr(
        "landscape.analysis.curvature.eigenvalues.matvec_rounding_error", lambda *_: MatvecRounding(12.5, "float64")
    )
    outcome = run("hessian", pair.sam, *pair.data, *QUICK)
    assert "not all converged; more products would not help, for one is off by 1.2e+01" in outcome.err


def test_the_gauss_newton_matrix_has_its_own_name(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK, "--operator", "ggn")
    run("hessian", pair.sam, *pair.data, *QUICK)
    assert {"sam/ggn", "sam/hessian"} < set(load("results/sam.h5"))


def test_the_first_split_counts(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK, "--splits", "test,train")
    assert load("results/sam.h5")["sam/hessian"].attributes["splits"] == ["test"]


def test_workers_hold_shards_of_the_examples(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[PackedWorkers] = []

    def open_workers(count: int, *_: object, **__: object) -> PackedWorkers:
        opened.append(PackedWorkers(count))
        return opened[-1]

    with monkeypatch.context() as patch:
        patch.setattr("landscape.cli.requests.execution.open_workers", open_workers)
        outcome = run("hessian", pair.sam, *pair.data, *QUICK, "--density", "--workers", "2")
        assert outcome.code == 0, outcome.err
    assert {len(task.objective.data["train"].labels()) for task in opened[0].tasks} == {16}
    run("hessian", pair.sam, *pair.data, *QUICK, "--out", "alone.h5")
    shared, alone = (load(f"{name}.h5") for name in ("results/sam", "alone"))
    (value,), (bound,) = shared["sam/hessian"].eigenvalues, shared["sam/hessian"].bounds
    assert abs(value - alone["sam/hessian"].eigenvalues[0]) <= bound + alone["sam/hessian"].bounds[0]
    assert shared["sam/hessian"].attributes["shards"] == shared["sam/density"].attributes["shards"] == 2
    assert "shards" not in alone["sam/hessian"].attributes


EXTRAS = ("--trace", "--density", "--layers")


def test_trace_density_and_layers_are_computed_stored_drawn_and_not_computed_again(run, pair) -> None:
    outcome = run("hessian", pair.sam, *pair.data, *QUICK, *EXTRAS, "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert list(found) == ["sam/hessian", "sam/density", "sam/layers"]
    assert "sam/density: 240 products on 32 examples" in outcome.err
    stored = load("results/sam.h5")
    spectrum, density, layers = (stored[f"sam/{name}"] for name in ("hessian", "density", "layers"))
    assert isinstance(density, DensityResult)
    assert isinstance(layers, LayersResult)
    assert found["sam/density"]["nodes"] == density.nodes.tolist()
    assert np.trapezoid(density.density, density.eigenvalue) == pytest.approx(1, abs=1e-6)
    # the one layer that moves is the whole matrix
    assert layers.names == ("linear",)
    assert layers.top[0] == pytest.approx(spectrum.eigenvalues[0], abs=layers.bounds[0] + spectrum.bounds[0])
    trace = spectrum.attributes["trace"]
    assert trace["products"] == 60
    assert abs(trace["value"] - layers.trace[0]) < 6 * np.hypot(trace["stderr"], layers.trace_stderr[0])
    assert found["sam/layers"]["attributes"]["settings"]["operator"] == "hessian"
    again = run("hessian", pair.sam, *pair.data, *QUICK, *EXTRAS)
    for name in ("hessian", "density", "layers"):
        assert f"sam/{name} is already in results/sam.h5" in again.err
    for words in ("eigenvalues (an", "Frobenius norm", "spectral density", "4 x 60", "linear"):
        assert words in again.out
    assert run("info", "results/sam.h5").code == 0
    assert run("report", "results/sam.h5", "--out", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "density-block-0" in page
    assert "Frobenius norm" in page


def test_a_trace_is_added_to_eigenvalues_that_are_there(run, pair) -> None:
    run("hessian", pair.sam, *pair.data, *QUICK)
    before = load("results/sam.h5")["sam/hessian"]
    run("hessian", pair.sam, *pair.data, *QUICK, "--trace")
    results = load("results/sam.h5")
    after = results["sam/hessian"]
    assert set(results) == {"sam/history", "sam/hessian"}
    assert after.eigenvalues.tolist() == before.eigenvalues.tolist()
    assert after.attributes["trace"]["method"] == "hutch++"


def test_the_gauss_newton_and_the_fisher_matrix_have_an_effective_rank_and_a_name(run, pair) -> None:
    outcome = run("hessian", pair.sam, *pair.data, *QUICK, "--operator", "ggn", "--trace")
    assert "effective rank" in outcome.out
    attributes = load("results/sam.h5")["sam/ggn"].attributes
    largest = load("results/sam.h5")["sam/ggn"].eigenvalues[0]
    assert attributes["effective_rank"] == pytest.approx(attributes["trace"]["value"] / largest)
    run("hessian", pair.sam, *pair.data, *QUICK[2:], "--operator", "fisher", "--top", "0", *EXTRAS[1:])
    assert {"sam/density-fisher", "sam/layers-fisher"} < set(load("results/sam.h5"))


def test_subsets_give_means_with_standard_errors_that_sharpness_does_not_take_for_one_spectrum(run, pair) -> None:
    few = ("--params", "linear.*", "--subset", "16", "--top", "2")
    outcome = run("hessian", pair.sam, *pair.data, *few, "--subsets", "3", "--trace")
    assert outcome.code == 0, outcome.err
    assert "± over subsets" in outcome.out
    found = load("results/sam.h5")["sam/hessian-subsets"]
    values = np.array(found.attributes["subsets"]["eigenvalues"])
    assert values.shape == (3, 2)
    np.testing.assert_allclose(found.eigenvalues, values.mean(axis=0))
    np.testing.assert_allclose(found.attributes["subsets"]["stderr"], values.std(axis=0, ddof=1) / 3**0.5)
    assert found.attributes["examples"] == {"train": 48}
    trace = found.attributes["trace"]
    assert (trace["method"], trace["products"]) == ("hutch++, mean of 3 subsets", 180)
    assert 0 < trace["stderr"] < trace["value"]
    assert run("report", "results/sam.h5", "--out", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "Means over disjoint subsets" in page
    assert "over 3 subsets of 16 examples" in page
    assert "largest Hessian eigenvalue" not in page  # among the key numbers
    sharpness = run("sharpness", pair.sam, *pair.data, *few[:4], "--measures", "lambda_max")
    assert sharpness.code == 0
    assert "λ_max is taken" not in sharpness.err
    run("hessian", pair.sam, *pair.data, *few)  # the first subset by itself
    alone = load("results/sam.h5")["sam/hessian"]
    np.testing.assert_allclose(alone.eigenvalues, values[0], atol=2 * alone.bounds[0])
    assert "is already in" in run("hessian", pair.sam, *pair.data, *few, "--subsets", "3").err
    run("hessian", pair.sam, *pair.data, *few, "--subsets", "5").refused("5 subsets of 16 examples", "64 examples")


def test_eigenvectors_are_kept_as_directions_for_surfaces(run, pair) -> None:
    wanted = (*QUICK[2:], "--top", "2", "--vectors")
    outcome = run("hessian", pair.sam, *pair.data, *wanted)
    path = Path("results/sam-vectors/sam-hessian.safetensors")
    assert f"--plane {path}:top1,{path}:top2" in outcome.err
    tensors = load_file(path)
    assert set(tensors) == {f"top{k}/linear.{name}" for k in (1, 2) for name in ("weight", "bias")}
    one, two = (np.concatenate([tensors[f"top{k}/linear.{n}"].flatten() for n in ("weight", "bias")]) for k in (1, 2))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert abs(one @ two) < 1e-2
    assert load("results/sam.h5")["sam/hessian"].attributes["vectors"] == "sam-vectors/sam-hessian.safetensors"
    assert "is already in" in run("hessian", pair.sam, *pair.data, *wanted).err
    path.unlink()
    assert "wrote the eigenvectors top1, top2" in run("hessian", pair.sam, *pair.data, *wanted).err
    along = run("surface", pair.sam, *pair.data, *QUICK[2:], "--plane", f"{path}:top1", "--points", "3")
    assert along.code == 0, along.err
    assert load("results/sam.h5")["sam/line-top1"].attributes["directions"]["kind"] == "user"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--top 0 --trace", "--trace with --top 0"),
        ("--top 0 --vectors", "--vectors with --top 0"),
        ("--subsets 2 --density", "--density is of one set of examples"),
        ("--subsets 2 --vectors", "--vectors is of one set of examples"),
        ("--subsets 0", "--subsets 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, pair, words: str, message: str) -> None:
    run("hessian", pair.sam, *pair.data, *words.split()).refused(message)


def test_what_is_not_deterministic_is_said_in_one_line_once(capsys) -> None:
    with in_one_line(DeterminismWarning):
        for _ in range(2):
            warnings.warn("dropout\nis active", DeterminismWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: dropout is active\n"
