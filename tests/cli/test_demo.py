import webbrowser
from pathlib import Path

import pytest

from landscape.models.checkpoint import load_checkpoint
from landscape.stats import number_format
from landscape.storage.loading import load


@pytest.mark.slow
def test_the_demo_does_the_whole_job_and_finds_it_done(run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ("--epochs", "1", "--batch-size", "1024", "--subset", "16", "--points", "3")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    outcome = run("demo", "--out", "my demo", *sizes)
    assert outcome.code == 0, outcome.err
    assert opened == [Path("my demo/report.html").resolve().as_uri()]
    assert set(load("my demo/analysis.h5")) == {
        f"resnet20-digits-{recipe}/{name}"
        for recipe in ("sam", "adam")
        for name in ("history", "plane", "line", "hessian", "sharpness")
    } | {"resnet20-digits-sam..resnet20-digits-adam/between"}
    final = load_checkpoint("my demo/resnet20-digits-sam.pt").final
    for shown in (number_format.number(final["test_loss"]), "SAM sharpness", "λ_max"):
        assert shown in outcome.out

    again = run("demo", "--out", "my demo", *sizes, "--no-open")
    assert again.code == 0
    assert again.err.count("already exists with these settings") == 2
    assert again.err.count("is already in") == 9
    assert again.out == outcome.out
    assert len(opened) == 1
    refused = run("demo", "--out", "my demo", *sizes, "--seed", "1")
    assert refused.code == 2
    assert "seed is 0 there and 1 here" in refused.err
