import subprocess
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from cases.workers import PackedWorkers
from scipy import stats

from landscape.cli.commands.train import TrainCommand as Train
from landscape.models.checkpoint import is_checkpoint, load_checkpoint
from landscape.stats import number_format
from landscape.workflow.training_runs import _write_missing

QUICK = ("--epochs", "1", "--batch-size", "32", "--precision", "float32")


@pytest.mark.parametrize("recipe", ["adam", "sam", "sgd", "sam-sgd"])
def test_each_recipe_makes_a_checkpoint(run, pair, recipe: str) -> None:
    outcome = run("train", recipe, *pair.data, *QUICK)
    assert outcome.code == 0
    place = f"checkpoints/resnet20-tiny-{recipe}-s0.pt"
    checkpoint = load_checkpoint(place)
    assert checkpoint.training["recipe"] == recipe
    assert number_format.number(checkpoint.final["test_loss"]) in outcome.out
    assert f"wrote {place}" in outcome.err
    assert f"next: landscape sharpness {place} --data npz:" in outcome.err


def test_a_pair_shares_its_weights_and_takes_twice_the_epochs_of_adam(run, pair) -> None:
    assert run("train", "pair", *pair.data, *QUICK, "--seed", "3", "--out", "both").code == 0
    sam, adam = (load_checkpoint(f"both/resnet20-tiny-{name}-s3.pt") for name in ("sam", "adam"))
    assert (len(sam.history["epoch"]), len(adam.history["epoch"])) == (1, 2)
    assert sam.history["gradient_evaluations"][-1] == adam.history["gradient_evaluations"][-1]
    assert run("train", *pair.data, *QUICK, "--equal-epochs", "--out", "equal").code == 0  # pair is the default
    assert len(load_checkpoint("equal/resnet20-tiny-adam-s0.pt").history["epoch"]) == 1


def test_out_is_a_file_or_a_folder(run, pair) -> None:
    Path("there").mkdir()
    for out, place in (
        ("mine.pt", "mine.pt"),
        ("new/deep/mine.pt", "new/deep/mine.pt"),
        ("there", "there/resnet20-tiny-adam-s0.pt"),
        ("new folder/", "new folder/resnet20-tiny-adam-s0.pt"),
    ):
        assert run("train", "adam", *pair.data, *QUICK, "--out", out).code == 0
        assert is_checkpoint(place)


def test_what_is_there_is_not_trained_again_and_not_lost(run, pair, tmp_path: Path) -> None:
    words = ("train", "adam", *pair.data, *QUICK, "--out", "a.pt")
    first = run(*words)
    before = Path("a.pt").read_bytes()
    again = run(*words)
    assert "adam: a.pt already exists with these settings" in again.err
    assert again.out == first.out
    run(*words, "--lr", "0.01").refused("a.pt already exists with other settings: lr is 0.001 there and 0.01 here")
    arrays = dict(np.load(pair.npz))
    np.savez(tmp_path / "inverted.npz", **{**arrays, "train_images": 255 - arrays["train_images"]})
    run(*words[:2], "--data", "npz:inverted.npz", *QUICK, "--out", "a.pt").refused("the data differ")
    assert Path("a.pt").read_bytes() == before
    assert run(*words, "--lr", "0.01", "--overwrite").code == 0
    assert load_checkpoint("a.pt").training["lr"] == 0.01


def test_a_stopped_pair_resumes_with_its_second_member(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from landscape.workflow import training

    words = ("train", "pair", *pair.data, *QUICK[:4], "--out", "both")  # the precision is chosen by measurement
    train = training.train

    def stopped(config, *arguments, **options):
        if config.recipe == "adam":
            raise KeyboardInterrupt
        return train(config, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", stopped)
        outcome = run(*words)
    assert outcome.code == 130
    assert "To go on: landscape train pair" in outcome.err.splitlines()[-1]
    outcome = run(*words)
    assert outcome.code == 0
    assert "sam: both/resnet20-tiny-sam-s0.pt already exists" in outcome.err
    sam, adam = (load_checkpoint(f"both/resnet20-tiny-{name}-s0.pt") for name in ("sam", "adam"))
    assert sam.training["precision"] == adam.training["precision"]


def test_digits_are_the_default_and_options_reach_the_training(run) -> None:
    words = ("--epochs", "1", "--batch-size", "1024", "--precision", "float32", "--normalize", "none")
    assert (
        run(
            "train", "sam", *words, "--rho", "0.1", "--weight-decay", "0.01", "--set", "augment=none, warmup=0,p=inf"
        ).code
        == 0
    )
    checkpoint = load_checkpoint("checkpoints/resnet20-digits-sam-s0.pt")
    assert checkpoint.training["rho"] == 0.1
    assert checkpoint.training["weight_decay"] == 0.01
    assert checkpoint.training["warmup"] == 0
    assert checkpoint.training["p"] == float("inf")
    assert checkpoint.training["augment"] == "none"
    assert checkpoint.data["mean"] is None
    assert checkpoint.provenance["command"].startswith("landscape train sam --epochs 1")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("cifar10", "cifar10"),
        ("folder:/data/my photos/v1.5/", "v1.5"),
        ("folder:~/cifar", "cifar"),
        ("npz:a/b.npz", "b"),
        ("package.module:load", "load"),
        ("some/file.py:load", "load"),
    ],
)
def test_the_default_name_says_what_the_data_are(data: str, name: str) -> None:
    paths = Train(recipe="adam", data=data, seed=2).paths(2)
    assert paths == {"adam": Path("checkpoints") / f"resnet20-{name}-adam-s2.pt"}


def test_a_tilde_in_data_and_out_is_the_home_folder(run, pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    pair.npz.rename(tmp_path / "home" / "d.npz")
    assert run("train", "adam", "--data", "npz:~/d.npz", *QUICK, "--out", "~/a.pt").code == 0
    assert is_checkpoint(tmp_path / "home" / "a.pt")
    assert run("surface", "~/a.pt", "--data=npz:~/d.npz", "--points", "3", "--out=~/f.h5").code == 0
    assert (tmp_path / "home" / "f.h5").exists()


def test_a_checkpoint_holds_no_absolute_path(run, pair) -> None:
    run("train", "adam", *pair.data, *QUICK, "--out", "a.pt")
    content = torch.load("a.pt", weights_only=True)
    assert content["provenance"]["command"].startswith("landscape train adam --data npz:.../tiny.npz")
    assert str(pair.npz.parent) not in repr({key: value for key, value in content.items() if key != "state"})


def test_a_run_killed_at_any_moment_goes_on_to_the_same_weights(run, pair, tmp_path: Path) -> None:
    words = ("train", "adam", *pair.data, *QUICK[2:], "--epochs", "12", "--snapshots", "--out", "a.pt")
    kept = tmp_path / "a.pt.partial"
    for _ in range(2):  # from nothing, and from a state
        before = kept.read_bytes() if kept.exists() else b""
        with subprocess.Popen(
            [sys.executable, "-m", "landscape", *words], cwd=tmp_path, stderr=subprocess.DEVNULL
        ) as child:
            while child.poll() is None and (not kept.exists() or kept.read_bytes() == before):
                time.sleep(0.01)
            child.kill()
        if (tmp_path / "a.pt").exists():
            break  # it was faster than we are: then the weights are those of a run that went on once
    outcome = run(*words)
    assert outcome.code == 0
    assert not kept.exists()
    assert run(*words[:-1], "b.pt").code == 0
    first, second = load_checkpoint("a.pt"), load_checkpoint("b.pt")
    assert all(torch.equal(first.state[name], second.state[name]) for name in second.state)
    assert first.final == second.final
    assert sorted(path.name for path in Path("a-snapshots").iterdir()) == sorted(
        path.name for path in Path("b-snapshots").iterdir()
    )


def test_an_unfinished_run_of_other_settings_is_refused_unless_overwritten(
    run, pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    import landscape.training.loop

    words = ("train", "adam", *pair.data, *QUICK[2:], "--epochs", "2", "--out", "a.pt")
    with monkeypatch.context() as patch:
        finish = landscape.training.loop._Loop.finish_epoch

        def stopped(loop):
            finish(loop)
            raise KeyboardInterrupt

        patch.setattr(landscape.training.loop._Loop, "finish_epoch", stopped)
        assert run(*words).code == 130
    assert Path("a.pt.partial").exists()
    refused = run(*words, "--lr", "0.01")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("error: a.pt.partial is of an unfinished run with other settings")
    outcome = run(*words)
    assert "resuming from a.pt.partial" in outcome.err
    assert outcome.code == 0
    assert run(*words, "--lr", "0.01", "--overwrite").code == 0
    assert load_checkpoint("a.pt").training["lr"] == 0.01


def test_several_seeds_give_a_table_with_the_paired_difference_and_a_verdict(run, pair) -> None:
    words = ("train", "pair", *pair.data, *QUICK, "--seeds", "0,1,2", "--out", "both")
    outcome = run(*words)
    assert outcome.code == 0
    finals = {
        name: [load_checkpoint(f"both/resnet20-tiny-{name}-s{seed}.pt").final for seed in range(3)]
        for name in ("sam", "adam")
    }
    for runs in finals.values():
        values = [final["test_accuracy"] for final in runs]
        assert f"{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f}%" in outcome.out
    sam, adam = ([final["test_loss"] for final in finals[name]] for name in ("sam", "adam"))
    low, high = stats.ttest_rel(adam, sam).confidence_interval(0.95)
    assert number_format.change((low + high) / 2, (high - low) / 2) in outcome.out
    assert "adam − sam ± 95% interval" in outcome.out
    assert "of test accuracy" in outcome.err
    assert run(*words).out == outcome.out  # nothing is trained again
    run(*words[:-1], "a.pt").refused("a pair makes two checkpoints")
    run("train", "adam", *words[2:-1], "a.pt").refused("each seed makes a checkpoint")


def test_workers_share_seeds_and_recipes(run, pair, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = PackedWorkers(2)
    words = ("train", "pair", *pair.data, *QUICK, "--seeds", "0,1")
    with monkeypatch.context() as patch:
        patch.setattr("landscape.cli.requests.execution.open_workers", lambda *_, **__: workers)
        shared = run(*words, "--workers", "2", "--out", "shared")
        assert shared.code == 0, shared.err
        assert "4 runs on 2 workers of 1 threads" in shared.err
    assert len(workers.requests) == 4
    alone = run(*words, "--out", "alone")
    names = sorted(path.name for path in Path("alone").iterdir())
    assert len(names) == 4
    for name in names:
        one, other = load_checkpoint(f"alone/{name}"), load_checkpoint(f"shared/{name}")
        assert one.training == other.training
        assert all(torch.equal(weights, other.state[key]) for key, weights in one.state.items())
    assert run(*words, "--out", "shared").out.count("±") == alone.out.count("±")  # and nothing is trained again

    _write_missing({"adam": Path("elsewhere.pt")}, {"adam": Path(f"alone/{names[0]}").read_bytes()})
    assert load_checkpoint("elsewhere.pt").training["seed"] == 0  # of a worker on another file system


def test_the_courseworks_protocol(run, pair) -> None:
    words = ("train", "coursework", *pair.data, "--epochs", "1", "--batch-size", "16", "--precision", "float32")
    assert run(*words).code == 0
    sam, adam = (load_checkpoint(f"checkpoints/coursework-tiny-coursework-{name}-s0.pt") for name in ("sam", "adam"))
    assert (len(sam.history["epoch"]), len(adam.history["epoch"])) == (1, 2)
    for checkpoint in (sam, adam):
        assert checkpoint.model == "coursework"
        assert checkpoint.data["mean"] is None
        assert checkpoint.data["hold_out"] == {"examples": 6}
        settings = checkpoint.training
        assert (settings["lr"], settings["schedule"], settings["patience"]) == (1e-3, "plateau", 10)
        assert (settings["augment"], settings["brightness"], settings["eps"]) == ("crop", 0.5, 1e-7)
        assert set(checkpoint.final) == {
            f"{s}_{m}" for s in ("train", "validation", "test") for m in ("loss", "accuracy")
        }
    assert (sam.training["rho"], adam.training["rho"]) == (0.05, None)
    names = [f"checkpoints/coursework-tiny-coursework-{name}-s0.pt" for name in ("sam", "adam")]
    found = run("surface", names[0], *pair.data, "--plane", "line", "--points", "3", "--splits", "train,validation")
    assert found.code == 0  # on the examples it was trained on, and those held out
    assert "reproduces the loss on 58 train examples" in found.err
    assert "fingerprint differs" not in found.err


def test_a_diverged_run_leaves_nothing_that_would_lead_there_again(run, pair) -> None:
    words = ("train", "sgd", *pair.data, *QUICK[2:], "--set", "warmup=0", "--epochs", "3", "--out", "a.pt")
    outcome = run(*words, "--lr", "1e30")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("error: the loss of sgd became nan in epoch 1 of 3; take an lr")
    assert not Path("a.pt").exists()
    assert not Path("a.pt.partial").exists()


def test_models_take_arguments(run, pair) -> None:
    words = ("train", "adam", *pair.data, *QUICK, "--out", "a.pt")
    assert run(*words, "--model", "resnet", "--model-args", '{"depth": 8}').code == 0
    assert load_checkpoint("a.pt").model_arguments == {"num_classes": 10, "in_channels": 1, "depth": 8}
    run(*words, "--model", "resnet", "--model-args", '{"depth": 14}').refused("a.pt already exists", "model_arguments")
    run(*words, "--model", "resnet21").refused("got --model resnet21; expected one of resnet20, ")


def test_two_commands_do_not_train_the_same_checkpoint_at_once(run, pair) -> None:
    words = ("train", "adam", *pair.data, *QUICK, "--out", "a.pt")
    with filelock.FileLock("a.pt.partial.lock"):
        run(*words).refused("another landscape command is training a.pt right now", "give another --out")
    assert run(*words).code == 0
    assert not Path("a.pt.partial.lock").exists()
