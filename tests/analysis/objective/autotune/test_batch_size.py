"""Batch sizes chosen by their measured rates."""

from typing import Any

import pytest
from cases.timed_network import INPUTS, LABELS, SEEN, objective

from landscape.analysis.objective.autotune import batch_size
from landscape.analysis.objective.autotune.batch_size import choose_batch_size
from landscape.analysis.planes import random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, choose_settings
from landscape.analysis.surfaces.surface import surface


def test_the_clock_of_a_batch_size_starts_after_the_warm_up_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    found, calls = objective(batch_size=50), []

    class OnDevice:  # a result that is waited for when it is read
        def __init__(self, count: int) -> None:
            self.count = count

        def __getitem__(self, index: tuple[int, ...]) -> float:
            calls.append("wait")
            return float(self.count)

    def clock() -> float:
        calls.append("clock")
        return float(len(calls))

    monkeypatch.setattr(found, "sums", lambda limit, **_: calls.append("launch") or OnDevice(limit))
    monkeypatch.setattr(batch_size.time, "perf_counter", clock)
    choose_batch_size(found, "float32")
    assert calls[:6] == ["launch", "wait", "clock", "launch", "wait", "clock"]


@pytest.mark.parametrize("best", batch_size.CPU_BATCHES)
def test_the_batch_size_with_the_highest_rate_wins(best: int, clock: Any) -> None:
    clock(lambda dtype, count: count * (1.0 if count == best else 2.0))
    found = objective()
    SEEN.clear()
    size, rate = choose_batch_size(found, "float32")
    assert size == best
    assert rate > 1 / 2


def test_no_batch_is_larger_than_the_data(clock: Any) -> None:
    clock(lambda dtype, count: 1.0)
    size, _ = choose_batch_size(objective({"train": (INPUTS[:90], LABELS[:90])}), "float32")
    assert size == 90


def test_ready_batches_and_batch_statistics_keep_their_sizes(clock: Any) -> None:
    """With batch statistics the value depends on who shares a batch: a stopwatch must not choose that."""
    clock(lambda dtype, count: float(count))
    ready = objective({"train": [(INPUTS[:70], LABELS[:70]), (INPUTS[70:], LABELS[70:])]}, batch_size=40)
    assert choose_batch_size(ready, "float32")[0] == 40
    by_batch = objective(batchnorm="batch", batch_size=40)
    assert choose_batch_size(by_batch, "float32")[0] == 40
    settings = choose_settings(by_batch, random_plane(by_batch), [(0.0, 0.0)], Evaluation(precision="float32"))
    centre = surface(by_batch, points=3, evaluation=Evaluation(settings=settings)).grid("loss")[:, 1, 1]
    assert centre.tolist() == [by_batch.loss(split="train"), by_batch.loss(split="test")]
