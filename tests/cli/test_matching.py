"""`landscape sharpness --study --match loss`: runs compared where they pass the same train loss."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from landscape.models.checkpoint import build_model, load_checkpoint, load_state

MEASURES = ("--measures", "sam", "--subset", "all", "--device", "cpu")


@pytest.fixture(scope="module")
def runs(trained, tmp_path_factory) -> list[Path]:
    """Return the checkpoints of two recipes and two seeds, with snapshots."""
    from landscape.cli import main

    folder = tmp_path_factory.mktemp("runs")
    options = ("--epochs", "2", "--batch-size", "16", "--precision", "float32", "--device", "cpu", "--lr", "0.01")
    main(
        [
            "train",
            "pair",
            *trained.data,
            *options,
            "--equal-epochs",
            "--seeds",
            "0,1",
            "--snapshots",
            "--out",
            str(folder),
        ]
    )
    return [folder / f"resnet20-tiny-{recipe}-s{seed}.pt" for recipe in ("adam", "sam") for seed in (0, 1)]


def values_at(path: Path, epoch: int, npz: Path) -> dict[str, float]:
    """Return train and test loss and the SAM sharpness of a snapshot, by a plain loop in float64."""
    checkpoint = load_checkpoint(path)
    model = build_model(checkpoint)
    load_state(model, load_file(path.with_name(f"{path.stem}-snapshots") / f"epoch-{epoch:04d}.safetensors"))
    model = model.double()
    arrays, mean, std = np.load(npz), checkpoint.data["mean"][0], checkpoint.data["std"][0]

    def loss(split):
        images = torch.from_numpy(arrays[f"{split}_images"]).double().permute(0, 3, 1, 2) / 255
        return F.cross_entropy(model((images - mean) / std), torch.from_numpy(arrays[f"{split}_labels"]))

    train, test = loss("train"), loss("test").item()
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(train, parameters)
    norm = torch.sqrt(sum(g.square().sum() for g in gradient))
    with torch.no_grad():
        for p, g in zip(parameters, gradient, strict=True):
            p += 0.05 * g / norm
        return {"train": train.item(), "test": test, "sam": loss("train").item() - train.item()}


def test_runs_are_compared_where_they_last_pass_the_lowest_common_loss(run, trained, runs) -> None:
    outcome = run("sharpness", *runs, *trained.data, *MEASURES, "--study", "--match", "loss", "--json", "--out", "a.h5")
    assert outcome.code == 0, outcome.err
    study = json.loads(outcome.out)["study/equal-loss"]
    known = {path.stem: [values_at(path, epoch, trained.npz) for epoch in range(3)] for path in runs}
    level = max(min(values["train"] for values in each[1:]) for each in known.values())
    match = study["attributes"]["match"]
    assert match["train_loss"] == pytest.approx(level, rel=1e-4)
    for index, (label, each) in enumerate(known.items()):
        losses = [values["train"] for values in each]
        last = max(i for i in (0, 1) if (losses[i] - level) * (losses[i + 1] - level) <= 1e-7)
        t = (losses[last] - level) / (losses[last] - losses[last + 1])
        expected = {name: (1 - t) * each[last][name] + t * each[last + 1][name] for name in ("test", "sam")}
        assert match["epochs"][label] == pytest.approx(last + t, abs=1e-3)
        assert study["attributes"]["losses"][label]["train"] == pytest.approx(level, rel=1e-4)
        assert study["attributes"]["losses"][label]["test"] == pytest.approx(expected["test"], rel=1e-3)
        assert study["gap"][index] == pytest.approx(expected["test"] - level, rel=1e-2, abs=1e-3)
        assert study["values"][0][index] == pytest.approx(expected["sam"], rel=1e-2)


def test_the_paired_difference_over_seeds_is_printed(run, trained, runs) -> None:
    outcome = run("sharpness", *runs, *trained.data, *MEASURES, "--study", "--match", "loss", "--out", "a.h5")
    assert outcome.code == 0, outcome.err
    assert "at equal train loss, seeds 0, 1: mean ± standard deviation" in outcome.out
    assert "sam − adam ± 95% interval" in outcome.out
    again = run("sharpness", *runs, *trained.data, *MEASURES, "--study", "--match", "loss", "--out", "a.h5")
    assert "is already in a.h5 with these settings" in again.err
    assert again.out == outcome.out


def test_what_cannot_be_matched_is_refused(run, trained, runs, pair) -> None:
    run("sharpness", *runs, *trained.data, *MEASURES, "--match", "loss").refused("--match loss", "--study")
    alone = ("sharpness", pair.sam, *runs[:2], *trained.data, *MEASURES, "--study", "--match", "loss")
    run(*alone).refused("sam-snapshots", "train with --snapshots")
