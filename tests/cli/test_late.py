"""`landscape train --from FILE` and `--sam-from EPOCH`: runs that start from weights, and SAM late in a run."""

from pathlib import Path

import pytest
import torch

from landscape.models.checkpoint import load_checkpoint
from landscape.storage.atomic_write import file_sha256
from landscape.storage.loading import load

QUICK = ("--epochs", "1", "--batch-size", "32", "--precision", "float32", "--device", "cpu")


def test_a_run_starts_from_a_checkpoint_with_its_model_and_normalization(run, pair) -> None:
    first = run("train", "adamw", *pair.data, *QUICK, "--model", "resnet", "--model-args", '{"depth": 8}', "--normalize", "0.4/0.2", "--out", "a.pt")  # fmt: skip # noqa: E501
    assert first.code == 0, first.err
    outcome = run("train", "sam", *pair.data, *QUICK, "--from", Path("a.pt").resolve(), "--out", "b.pt")
    assert outcome.code == 0, outcome.err
    assert "from " in outcome.err
    earlier, later = load_checkpoint("a.pt"), load_checkpoint("b.pt")
    assert (later.model, later.model_arguments) == (earlier.model, earlier.model_arguments)
    assert (later.data["mean"], later.data["std"]) == ([0.4], [0.2])
    assert later.provenance["start"]["fingerprint"] == later.training["start"] == file_sha256("a.pt")
    assert str(Path.cwd()) not in repr({**later.provenance, **later.training})
    again = run("train", "sam", *pair.data, *QUICK, "--from", "a.pt", "--out", "b.pt")
    assert "b.pt already exists with these settings" in again.err
    run("train", "sam", *pair.data, *QUICK, "--out", "b.pt").refused("other settings: model is resnet there")


def test_a_strangers_weights_are_a_start(run, pair) -> None:
    state = load_checkpoint(pair.adam).state
    torch.save({"ema": {f"module.{name}": value for name, value in state.items()}, "raw": state}, "w.pth")
    words = ("train", "adam", *pair.data, *QUICK, "--from", "w.pth", "--out", "c.pt")
    run(*words).refused("w.pth holds weights under ema, raw", "--weights-key")
    outcome = run(*words, "--weights-key", "ema")
    assert outcome.code == 0, outcome.err
    assert "the normalization of w.pth is not known" in outcome.err
    assert load_checkpoint("c.pt").provenance["start"]["fingerprint"] == f"{file_sha256('w.pth')} ema"


def test_sam_from_a_later_epoch_takes_fewer_gradients(run, pair) -> None:
    words = ("train", "sam", *pair.data, "--epochs", "3", *QUICK[2:], "--sam-from", "3", "--out", "d.pt")
    assert run(*words).code == 0
    checkpoint = load_checkpoint("d.pt")
    assert checkpoint.history["gradient_evaluations"] == [64, 128, 256]
    assert checkpoint.training["sam_from"] == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--from", "none.pt"), "none.pt"),
        (("--from", "sam.pt", "--model", "resnet32"), "sam.pt holds a resnet20, not a resnet32"),
        (("--from", "sam.pt", "--data", "digits", "--set", "start=x"), "--set start=x"),
        (("--weights-key", "ema"), "--from"),
        (("--sam-from", "2"), "sam_from 2"),
    ],
)
def test_what_cannot_start_is_refused(run, pair, words, expected) -> None:
    data = () if "--data" in words else pair.data
    run("train", "adam", *data, *QUICK, *words, "--out", "x.pt").refused(expected)


def test_the_data_are_those_of_the_checkpoint_if_they_have_a_name(run, pair) -> None:
    run("train", "adam", *QUICK, "--from", pair.sam).refused("does not say where its data are; give --data")


def test_the_monitor_watches_sam_and_the_doctor_reads_it_back(run, pair) -> None:
    words = ("train", "sam", *pair.data, *QUICK, "--monitor", "sam_doctor", "--out", "m.pt")
    assert run(*words).code == 0
    (key,) = (key for key in load("results/m.h5") if key.endswith("monitor"))
    stored = load("results/m.h5")[key]
    assert stored.attributes["settings"]["measures"][0]["batch_size"] == 32
    assert stored.series("sam_rise_ratio")[-1] > 0
    assert stored.series("sam_batchnorm_drift")[-1] >= 0
    done = run("doctor", "results/m.h5")
    assert done.code == 0, done.err
    assert "m/monitor" in done.out
