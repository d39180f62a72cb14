import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cases.workers import PackedWorkers

from landscape.analysis.objective.objective import Objective
from landscape.cli.commands.sharpness import SharpnessCommand as Options
from landscape.cli.options.sharpness import MEASURES as KINDS
from landscape.cli.requests.measures import FACTORIES
from landscape.cli.requests.measures import chosen_measures as wanted
from landscape.errors import LandscapeError
from landscape.figures.plots.study import study_figure
from landscape.models.checkpoint import load_checkpoint, save_checkpoint
from landscape.results import MeasureResult, SharpnessResult, SpectrumResult, StudyResult
from landscape.storage.loading import load
from landscape.storage.result_file import ResultFile

PART = ("--params", "linear.*", "--subset", "32")
QUICK = ("--pairs", "2", *PART)
FEW = (*QUICK, "--measures", "keskar,sam,average")


def measures(outcome, label: str = "sam") -> list[dict]:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)[label]["measures"]


def test_all_kinds_by_default(run, pair) -> None:
    outcome = run("sharpness", pair.sam, *pair.data, *QUICK, "--json")
    found = measures(outcome)
    assert [m["name"] for m in found] == ["keskar", *KINDS]
    assert "7 measures on 32 examples: about" in outcome.err
    assert found[0]["stderr"] == "nan"  # a maximum has no sampling error; NaN is no JSON
    assert found[2]["stderr"] > 0
    assert found[2]["parameters"] == {"rho": 0.05, "p": 2, "m": None}
    assert 0 <= found[2]["diagnostics"]["rounding"] < 1e-5
    assert "samples" not in found[2]["diagnostics"]
    stored = load("results/sam.h5")["sam/sharpness"]
    assert isinstance(stored, SharpnessResult)
    assert [m.value for m in stored.measures] == [m["value"] for m in found]
    assert len(stored.measures[2].diagnostics["samples"]) == 32
    assert "unfinished" not in stored.attributes


def test_a_table_with_what_the_numbers_mean(run, pair) -> None:
    words = ("sharpness", pair.sam, *pair.data, *FEW)
    found = measures(run(*words, "--json"))
    table = run(*words)
    assert "sam/sharpness is already" in table.err
    for measure in found:
        assert measure["label"] in table.out
        assert measure["meaning"] in table.err
        assert "rank" not in measure


def test_the_first_split_counts(run, pair) -> None:
    run("sharpness", pair.sam, *pair.data, *FEW, "--splits", "test,train")
    assert load("results/sam.h5")["sam/sharpness"].attributes["splits"] == ["test"]


def test_curves_over_rho_and_m_sharpness(run, pair) -> None:
    radii = "0.01,0.02,0.05,0.1,0.2"
    options = ("--measures", "sam,max,average", "--rho", radii, "--m", "all,16,8")
    found = measures(run("sharpness", pair.sam, *pair.data, *QUICK, *options, "--json"))
    sam = [m for m in found if m["name"] == "sam"]
    assert [(m["parameters"]["m"], m["parameters"]["rho"]) for m in sam] == [
        (m, float(rho)) for m in (None, 16, 8) for rho in radii.split(",")
    ]
    values = np.array([m["value"] for m in sam]).reshape(3, 5)
    assert (np.diff(values) > 0).all()
    assert (np.diff(values[:, :3], axis=0) > 0).all()  # the smaller the subsets, the steeper their own steps
    assert [m["name"] for m in found].count("max") == 5
    assert [m["name"] for m in found].count("average") == 5


# ---- several checkpoints


def test_several_are_ranked_with_paired_differences(run, pair) -> None:
    words = ("sharpness", pair.sam, pair.adam, *pair.data, *FEW)
    outcome = run(*words, "--json")
    both = {label: {m["label"]: m for m in measures(outcome, label)} for label in ("sam", "adam")}
    for label in both["sam"]:
        a, b = (both[name][label] for name in ("sam", "adam"))
        assert {a["rank"], b["rank"]} == {1, 2}
        second, first = (a, b) if a["rank"] == 2 else (b, a)
        assert second["above_flattest"] == pytest.approx(second["value"] - first["value"])
        assert second["above_flattest_paired"] is (a["name"] != "keskar")
        assert first["above_flattest"] == 0
    sam = [both[name]["SAM sharpness, ρ = 0.05"] for name in ("sam", "adam")]
    paired = max(m["above_flattest_stderr"] for m in sam)
    assert 0 < paired < math.hypot(*(m["stderr"] for m in sam))
    table = run(*words)
    assert "above the flattest" in table.out
    assert "is flattest by" in table.err
    assert "paired differences" in table.err


def test_checkpoints_are_measured_on_the_same_examples_with_the_same_draws(run, pair) -> None:
    """So a checkpoint against a copy of itself differs by nothing, with a standard error of nothing."""
    copy = pair.sam.with_name("copy.pt")
    copy.write_bytes(pair.sam.read_bytes())
    kinds = ("--measures", "asam,max,average", "--m", "16")
    outcome = run("sharpness", pair.sam, copy, *pair.data, *QUICK, *kinds, "--json")
    for measure in measures(outcome):
        assert (measure["above_flattest"], measure["above_flattest_stderr"]) == (0, 0)


# ---- what the file has is not computed again


def test_a_known_eigenvalue_is_taken_from_the_file(run, pair) -> None:
    only = (*PART, "--measures", "lambda_max")
    run("hessian", pair.sam, *pair.data, "--top", "1", *PART)
    first = run("sharpness", pair.sam, *pair.data, *only)
    assert "sam/sharpness: λ_max of the Hessian is taken from sam/hessian" in first.err
    table, spectrum = load("results/sam.h5")["sam/sharpness"], load("results/sam.h5")["sam/hessian"]
    assert isinstance(table, SharpnessResult)
    assert isinstance(spectrum, SpectrumResult)
    assert table.value("λ_max of the Hessian") == spectrum.eigenvalues[0]
    other = run("sharpness", pair.sam, *pair.data, *only, "--seed", "1")  # of another sample
    assert "taken from" not in other.err
    assert load("results/sam.h5")["sam/sharpness-2"].attributes["seed"] == 1


def test_a_stopped_run_goes_on_with_what_is_missing(run, pair) -> None:
    words = ("sharpness", pair.sam, pair.adam, *pair.data, *FEW)
    per_example, calls = Objective.per_example, 0

    def stops(self, *arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 7:  # in the second checkpoint's SAM sharpness, after two for each estimate and two for the first
            raise KeyboardInterrupt
        return per_example(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "per_example", stops)
        assert run(*words).code == 130
    partial = load("results/sam+adam.h5")
    assert [len(partial[f"{name}/sharpness"].measures) for name in ("sam", "adam")] == [4, 2]
    assert partial["adam/sharpness"].attributes["unfinished"] == [
        "SAM sharpness, ρ = 0.05",
        "average-case sharpness, adaptive, ρ = 0.1",
    ]
    resumed = run(*words)
    assert "sam/sharpness is already" in resumed.err
    assert "adam/sharpness: 2 of 4 measures are left to take" in resumed.err
    assert run(*words, "--out", "undisturbed.h5").code == 0
    for name in ("sam", "adam"):
        found, expected = (load(file)[f"{name}/sharpness"] for file in ("results/sam+adam.h5", "undisturbed.h5"))
        assert isinstance(found, SharpnessResult)
        assert isinstance(expected, SharpnessResult)
        assert [(m.label, m.value) for m in found.measures] == [(m.label, m.value) for m in expected.measures]
        assert "unfinished" not in found.attributes


def test_a_run_stopped_after_any_measure_is_stored_as_an_undisturbed_one(run, pair) -> None:
    """Evidence included: only times, dates and the command may differ."""
    radii = ("--rho", "0.01,0.05,0.1", "--m", "all,16")
    words = ("sharpness", pair.sam, *pair.data, *QUICK, "--measures", "sam,max,average", *radii)
    put = ResultFile.put

    def stops(self, name, result):
        put(self, name, result)
        raise KeyboardInterrupt

    stopped = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResultFile, "put", stops)
        while run(*words).code == 130:
            stopped += 1
    assert stopped >= 10  # measures
    run(*words)
    run(*words, "--out", "undisturbed.h5")
    found, expected = (load(file)["sam/sharpness"] for file in ("results/sam.h5", "undisturbed.h5"))

    def without_seconds(measures):
        timeless = [dataclasses.replace(m, diagnostics={**m.diagnostics, "seconds": 0}) for m in measures]
        return str(timeless)  # NaN is equal to nothing

    assert without_seconds(found.measures) == without_seconds(expected.measures)

    def lasting(attributes):
        return {key: value for key, value in attributes.items() if key not in ("seconds", "created", "command")}

    assert lasting(found.attributes) == lasting(expected.attributes)


def test_workers_share_the_measures_of_all_checkpoints(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last checkpoint's are measured first here, and every number is that of one process."""
    words = ("sharpness", pair.sam, pair.adam, *pair.data, *FEW)
    workers = PackedWorkers(2)
    with monkeypatch.context() as patch:
        patch.setattr("landscape.cli.requests.execution.open_workers", lambda *_, **__: workers)
        outcome = run(*words, "--workers", "2", "--out", "shared.h5")
        assert outcome.code == 0, outcome.err
        assert "already" in run(*words, "--workers", "2", "--out", "shared.h5").err
    assert [request.objective for request in workers.requests] == [1] * 4 + [0] * 4
    run(*words, "--out", "alone.h5")
    for key in ("sam/sharpness", "adam/sharpness"):
        alone, shared = load("alone.h5")[key], load("shared.h5")[key]
        assert isinstance(alone, SharpnessResult)
        assert isinstance(shared, SharpnessResult)
        assert [plain(measure) for measure in shared.measures] == [plain(measure) for measure in alone.measures]
        assert shared.attributes["threads"] == alone.attributes["threads"]


def plain(measure: MeasureResult) -> str:
    """Return all of a result but the time that it took."""
    return repr(dataclasses.replace(measure, diagnostics={**measure.diagnostics, "seconds": 0}))


def test_other_options_take_over_what_stays_the_same(run, pair) -> None:
    run("sharpness", pair.sam, *pair.data, *FEW)
    more = run("sharpness", pair.sam, *pair.data, *FEW, "--rho", "0.05,0.1")
    assert "sam/sharpness-2: 2 of 6 measures are left to take" in more.err
    first, second = (load("results/sam.h5")[f"sam/{name}"] for name in ("sharpness", "sharpness-2"))
    assert isinstance(first, SharpnessResult)
    assert isinstance(second, SharpnessResult)
    shared = {m.label for m in first.measures}
    assert [m.value for m in second.measures if m.label in shared] == [m.value for m in first.measures]
    fewer = run("sharpness", pair.sam, *pair.data, *FEW, "--measures", "sam")
    assert "about" not in fewer.err  # nothing to measure
    again = run("sharpness", pair.sam, *pair.data, *FEW, "--overwrite")
    assert "4 measures on 32 examples" in again.err


# ---- a study


def variants(pair, count: int) -> list:
    """Return checkpoints whose weights differ, and whose recorded test losses do."""
    made = []
    for number in range(count):
        checkpoint = load_checkpoint(pair.sam)
        generator = torch.Generator().manual_seed(number)
        for name, tensor in checkpoint.state.items():
            if name.startswith("linear"):
                tensor += 0.3 * number * torch.randn(tensor.shape, generator=generator)
        checkpoint.final["test_loss"] = checkpoint.final["train_loss"] + [0.3, 0.1, 0.4, 0.2][number]
        checkpoint.training["recipe"] = ["sam", "adam", "sam", ""][number]
        path = pair.sam.with_name(f"c{number}.pt")
        save_checkpoint(checkpoint, path)
        made.append(path)
    return made


def test_a_study_correlates_measures_with_the_gap(run, pair) -> None:
    paths = variants(pair, 4)
    words = ("sharpness", *paths, *pair.data, *PART, "--measures", "sam,average", "--pairs", "2", "--study")
    outcome = run(*words)
    assert outcome.code == 0, outcome.err
    assert "rank correlation with the generalization gap over 4 checkpoints" in outcome.out
    assert "warning: 4 checkpoints say little" in outcome.err
    results = load("results/c0+c1+c2+c3.h5")
    made = results["study/sharpness"]
    assert isinstance(made, StudyResult)
    assert made.checkpoints == ("c0", "c1", "c2", "c3")
    np.testing.assert_allclose(made.gap, [0.3, 0.1, 0.4, 0.2], atol=1e-9)
    assert made.attributes["gap"] == "test loss − train loss, recorded by the training"
    assert made.attributes["groups"] == ["sam", "adam", "sam", "other"]
    points = [trace for trace in study_figure({"study": made}).data if trace.xaxis == "x"]
    assert [(trace.name, list(trace.text)) for trace in points] == [
        ("sam", ["c0", "c2"]), ("adam", ["c1"]), ("other", ["c3"])
    ]  # fmt: skip
    assert run("report", "results/c0+c1+c2+c3.h5", "--out", "study.html").code == 0
    page = Path("study.html").read_text()
    assert all(json.dumps(name) in page for name in ("sam", "adam", "other"))
    for number, label in enumerate(made.checkpoints):
        stored = results[f"{label}/sharpness"]
        assert isinstance(stored, SharpnessResult)
        assert made.values[:, number].tolist() == [m.value for m in stored.measures]
    found = json.loads(run(*words, "--json").out)["study/sharpness"]
    assert found["tau"] == pytest.approx(made.tau.tolist())
    assert all(
        low <= tau <= high for low, tau, high in zip(found["tau_low"], found["tau"], found["tau_high"], strict=True)
    )


def test_the_gap_is_measured_where_it_is_not_recorded(run, pair) -> None:
    paths = variants(pair, 3)
    outcome = run(
        "sharpness", *paths, *pair.data, *FEW, "--study", "--loss", "cross_entropy", "--normalize", "none", "--json"
    )
    found = json.loads(outcome.out)["study/sharpness"]
    assert outcome.code == 0
    assert found["attributes"]["losses"]["c0"]["test"] > 0


def test_a_study_with_other_settings_keeps_the_earlier_one(run, pair) -> None:
    words = ("sharpness", *variants(pair, 3), *pair.data, *PART, "--measures", "average", "--study", "--pairs")
    assert run(*words, "2").code == 0
    earlier = load("results/c0+c1+c2.h5")["study/sharpness"].values
    assert run(*words, "3").code == 0
    results = load("results/c0+c1+c2.h5")
    np.testing.assert_array_equal(results["study/sharpness"].values, earlier)
    assert (results["study/sharpness-2"].values != earlier).any()


def test_a_study_of_too_few_is_refused(run, pair) -> None:
    run("sharpness", pair.sam, pair.adam, *pair.data, *FEW, "--study").refused("--study", "at least 3", "got 2")


# ---- options


def test_every_name_has_a_factory() -> None:
    assert tuple(FACTORIES) == KINDS
    for name in KINDS:
        assert {measure.name for measure in wanted(Options(measures=(name,)))} == {name}


def test_options_become_measures() -> None:
    every = Options(measures=("keskar", "sam", "asam", "max", "average"), p=(2.0, math.inf), m=("all", "8"))
    made = wanted(every)
    count = {name: sum(spec.name == name for spec in made) for name in every.measures}
    assert count == {"keskar": 2, "sam": 4, "asam": 4, "max": 2, "average": 1}
    assert len({spec.label for spec in made}) == len(made)
    assert [spec.label for spec in made if spec.name == "sam"] == [
        "SAM sharpness, ρ = 0.05",
        "SAM sharpness, m = 8, ρ = 0.05",
        "SAM sharpness, p = ∞, ρ = 0.0005",
        "SAM sharpness, p = ∞, m = 8, ρ = 0.0005",
    ]
    assert wanted(Options(measures=("sam", "sam"))) == wanted(Options(measures=("sam",)))
    assert [spec.label for spec in wanted(Options(measures=("asam",), p=(3.0,), rho=(0.1,)))] == [
        "ASAM sharpness, p = 3, ρ = 0.1"
    ]
    with pytest.raises(LandscapeError, match="--p 3 without --rho"):
        wanted(Options(measures=("asam",), p=(3.0,)))


def test_radii_are_those_of_every_measure_that_has_one() -> None:
    made = wanted(Options(measures=("keskar", "sam", "max", "average", "lambda_max"), rho=(0.01, 0.02)))
    assert [(spec.name, spec.rho) for spec in made if hasattr(spec, "rho")] == [
        (name, rho) for name in ("sam", "max", "average") for rho in (0.01, 0.02)
    ]
    assert [spec.p for spec in made if spec.name == "max"] == [math.inf, math.inf]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--measures", "sam,flat"], ["--measures flat", "keskar, sam, asam"]),
        (["--measures", ""], ["--measures ''"]),
        (["--rho", "0.1,0"], ["--rho 0"]),
        (["--rho", "inf"], ["--rho inf"]),
        (["--p", "1"], ["--p 1", "above 1"]),
        (["--p", "3"], ["--p 3", "2 or inf, with max of --measures"]),
        (["--measures", "sam", "--p", "3"], ["--p 3 without --rho"]),
        (["--m", "all,0"], ["--m 0"]),
        (["--tolerance", "0"], ["--tolerance 0"]),
        (["--batchnorm", "batch"], ["--batchnorm batch", "derivatives"]),
    ],
)
def test_what_cannot_be_is_one_clear_line(run, pair, options: list[str], words: list[str]) -> None:
    outcome = run("sharpness", pair.sam, *pair.data, *PART, "--measures", "sam,max", *options)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("error: ")
    for word in words:
        assert word in outcome.err.splitlines()[-1]
