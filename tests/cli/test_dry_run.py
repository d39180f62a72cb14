"""Dry runs: the work is stated and nothing is done."""

from pathlib import Path

import pytest
from cases.workers import PackedWorkers

QUICK = ("--params", "linear.*", "--subset", "32")


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("surface", ["--points", "5", "--precision", "float32"], ["sam/plane: 25 points x 32 examples", "25 tasks"]),
        ("convexity", ["--points", "3"], ["sam/convexity: 9 points x 32 examples", "9 tasks"]),
        ("hessian", ["--density"], ["sam/hessian: at most 200 products", "sam/density: 240 products", "240 tasks"]),
        ("sharpness", ["--measures", "sam"], ["sam/sharpness: 1 measures on 32 examples"]),
    ],
)
def test_a_dry_run_states_the_work_and_does_none(
    run, pair, monkeypatch: pytest.MonkeyPatch, command: str, options: list[str], words: list[str]
) -> None:
    workers = PackedWorkers(2)
    monkeypatch.setattr("landscape.cli.requests.execution.open_workers", lambda *_, **__: workers)
    outcome = run(command, pair.sam, *pair.data, *QUICK, *options, "--workers", "2", "--dry-run")
    assert (outcome.code, outcome.out) == (0, ""), outcome.err
    for word in [*words, "; 2 workers, ", " MB to each worker"]:
        assert word in outcome.err, outcome.err
    assert "about" in outcome.err
    assert workers.requests == []
    assert not list(Path("results").glob("*"))


def test_a_dry_run_of_trainings(run, pair) -> None:
    outcome = run("train", "pair", *pair.data, "--epochs", "2", "--batch-size", "32", "--seeds", "0,1,2", "--dry-run")
    assert outcome.code == 0
    assert "6 runs, 36 steps; 1 workers, 6 runs one after another on each" in outcome.err  # 3 seeds, 2 + 4 epochs of 2
    assert not list(Path().glob("checkpoints/*.pt"))
