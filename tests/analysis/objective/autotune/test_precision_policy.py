"""Choices by measurement, with the clock in our hands: what they decide, never how long anything takes."""

from typing import Any

import pytest
import torch
from cases.timed_network import INPUTS, LABELS, SEEN, Network, objective

from landscape.analysis.objective.autotune import precision_policy
from landscape.analysis.objective.autotune.precision_policy import PrecisionChoice, choose_precision, share_precision
from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation
from landscape.analysis.surfaces.surface import surface


def bfloat16_is_fast(dtype: torch.dtype, count: int) -> float:
    return count * (1.0 if dtype == torch.bfloat16 else 2.0)


def bfloat16_is_slow(dtype: torch.dtype, count: int) -> float:
    return count * (3.0 if dtype == torch.bfloat16 else 2.0)


def points(found: Objective) -> list[Any]:
    plane = random_plane(found)
    return [(plane.at(a, b), None) for a, b in ((0.0, 0.0), (0.5, -1.0), (1.0, 1.0))]


def test_bfloat16_where_it_is_faster_and_good_enough_with_the_error_found(clock: Any) -> None:
    clock(bfloat16_is_fast)
    found = objective({"train": (INPUTS[:400], LABELS[:400]), "test": (INPUTS[:100], LABELS[:100])})
    choice = choose_precision(found, points(found), tolerance=0.05, splits=found.splits)
    assert choice.precision == "bfloat16"
    errors = []
    for weights, _ in points(found):
        low, high = (found.sums(weights, precision=p) for p in ("bfloat16", "float32"))  # type: ignore[arg-type]
        means = [(t[:, 0, 0] / t[:, 0, 2]).numpy() for t in (low, high)]
        errors.append((abs(means[0] - means[1]) / means[1]).max())
    assert choice.error == pytest.approx(max(errors), rel=1e-4)
    assert 1e-6 < max(errors) < 0.05


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_gpu_is_probed_with_enough_examples_to_be_busy(kind: str) -> None:
    launches_do_not_matter = precision_policy.probe_examples(torch.device(kind)) >= 10_000
    assert launches_do_not_matter == (kind == "cuda")


@pytest.mark.parametrize(("tolerance", "cost"), [(1e-9, bfloat16_is_fast), (0.05, bfloat16_is_slow)])
def test_float32_where_the_error_is_too_large_or_nothing_is_gained(tolerance: float, cost: Any, clock: Any) -> None:
    clock(cost)
    found = objective()
    assert choose_precision(found, points(found), tolerance=tolerance, splits=found.splits).precision == "float32"


def test_the_choice_is_steady_where_both_take_about_as_long(clock: Any) -> None:
    """A stopwatch must not choose; comparable results in the file do, where they are accurate enough."""
    clock(lambda dtype, count: count * (0.95 if dtype == torch.bfloat16 else 1.0))
    found = objective()
    for known, tolerance, expected in (
        (None, 0.05, "float32"),
        ("bfloat16", 0.05, "bfloat16"),
        ("bfloat16", 1e-9, "float32"),
        ("float32", 0.05, "float32"),
    ):
        choice = choose_precision(found, points(found), tolerance=tolerance, splits=found.splits, known=known)
        assert choice.precision == expected


def test_emulated_bfloat16_is_told_by_a_few_examples(clock: Any) -> None:
    clock(lambda dtype, count: count * (20.0 if dtype == torch.bfloat16 else 2.0))
    found = objective()
    assert choose_precision(found, points(found), tolerance=1.0, splits=found.splits).precision == "float32"
    assert sum(count for dtype, count in SEEN if dtype == torch.bfloat16) == 3 * precision_policy.FEW_EXAMPLES


def test_a_model_without_bfloat16_takes_float32(clock: Any) -> None:
    clock(bfloat16_is_fast)
    found = objective(refuses=torch.bfloat16)
    assert choose_precision(found, points(found), tolerance=1.0, splits=found.splits).precision == "float32"


def test_a_float64_objective_stays_in_float64(clock: Any) -> None:
    clock(bfloat16_is_fast)
    found = objective(precision="float64")
    choice = choose_precision(found, points(found), tolerance=1.0, splits=found.splits)
    assert (choice.precision, choice.error) == ("float64", None)
    assert not any(dtype == torch.bfloat16 for dtype, _ in SEEN)


@pytest.mark.parametrize(
    ("low", "high", "fits"), [(torch.inf, torch.inf, True), (torch.nan, torch.inf, True), (torch.inf, 1.0, False)]
)
def test_points_that_diverge_in_both_precisions_do_not_decide(
    low: float, high: float, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = {"bfloat16": ([[1.0], [low]], 1.0), "float32": ([[1.0], [high]], 2.0)}
    monkeypatch.setattr(
        precision_policy,
        "_probe",
        lambda *arguments: (torch.tensor(probes[arguments[3]][0]).numpy(), probes[arguments[3]][1]),
    )
    monkeypatch.setattr(precision_policy, "emulates_bfloat16", lambda *_: False)
    choice = choose_precision(objective(), [], tolerance=0.01, splits=("train",))
    assert choice.precision == ("bfloat16" if fits else "float32")


def test_auto_goes_into_the_surface_s_attributes(clock: Any) -> None:
    clock(bfloat16_is_fast)
    for tolerance, expected in ((0.05, "bfloat16"), (1e-9, "float32")):
        attributes = surface(objective(), points=3, evaluation=Evaluation(precision_tolerance=tolerance)).attributes
        assert attributes["precision"] == expected
        assert (attributes["precision_error"] is None) == (expected == "float32")
        assert expected == "float32" or 0 < attributes["precision_error"] <= 0.05


def test_precision_is_probed_on_examples_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Image folders are sorted by class: the first 500 examples would say how good bfloat16 is for airplanes."""
    places = torch.arange(3000.0)[:, None].expand(-1, 5) / 3000
    found = objective({"train": (places, torch.zeros(3000, dtype=torch.int64))})
    seen = []
    monkeypatch.setattr(Network, "forward", lambda self, x: seen.append(x[:, 0].float()) or self.body(x))
    choose_precision(found, points(found), tolerance=1.0, splits=found.splits)
    assert float(torch.cat(seen).max()) > 0.9
    assert float(torch.cat(seen).min()) < 0.1


@pytest.mark.parametrize("batchnorm", ["fixed", "batch"])
def test_precision_is_probed_on_ready_batches_from_all_over(monkeypatch: pytest.MonkeyPatch, batchnorm: Any) -> None:
    places = torch.arange(3000.0)[:, None].expand(-1, 5) / 3000
    ready = list(zip(places.split(100), torch.zeros(3000, dtype=torch.int64).split(100), strict=True))
    found = objective({"train": ready}, batchnorm=batchnorm)
    seen = []
    monkeypatch.setattr(Network, "forward", lambda self, x: seen.append(x[:, 0].float()) or self.body(x))
    choose_precision(found, points(found), tolerance=1.0, splits=found.splits)
    assert float(torch.cat(seen).max()) > 0.5  # the first ones end at 0.17
    assert float(torch.cat(seen).min()) < 0.5
    if batchnorm == "batch":
        assert {len(batch) for batch in seen} <= {100, precision_policy.FEW_EXAMPLES}


def test_checkpoints_shown_together_share_the_most_precise_choice_and_the_largest_error() -> None:
    low, worse, high = (
        PrecisionChoice("bfloat16", 0.001),
        PrecisionChoice("bfloat16", 0.004),
        PrecisionChoice("float32", None),
    )
    assert share_precision([low, worse]) == worse
    assert share_precision([low, high, worse]) == high
    assert share_precision([PrecisionChoice("bfloat16", None)]).error is None  # asked for, not measured
