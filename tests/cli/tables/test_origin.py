"""The accuracy at the origin stands in the tables of surface, hessian and sharpness."""

import re

import numpy as np
import pytest
import torch

from landscape.data import load_dataset, stratified_subset
from landscape.models.checkpoint import build_model, load_checkpoint

SIZES = ["--subset", "40", "--device", "cpu"]


def expected(path, npz) -> float:
    """Return the accuracy of the plain model on the measured examples."""
    checkpoint = load_checkpoint(path)
    data = load_dataset(f"npz:{npz}", mean=checkpoint.data["mean"], std=checkpoint.data["std"])
    examples = data.splits["train"]
    chosen = stratified_subset(examples.labels, 40, 0)
    with torch.no_grad():
        answers = build_model(checkpoint)(data.preprocess(examples.inputs[chosen])).argmax(1)
    return float((answers == examples.labels[chosen]).double().mean())


@pytest.mark.parametrize(
    "command",
    [
        ["surface", "--points", "3"],
        ["hessian", "--top", "1", "--tolerance", "0.5"],
        ["sharpness", "--measures", "sam"],
    ],
    ids=lambda command: command[0],
)
def test_the_accuracy_at_the_origin_is_in_the_table(run, pair, command) -> None:
    done = run(*command, pair.sam, pair.adam, *pair.data, *SIZES)
    assert done.code == 0, done.err
    table = re.sub(r"[│┃]", "|", done.out)
    lines = [line for line in table.splitlines() if "%" in line]
    found = {name: next(line for line in lines if name in line) for name in ("sam", "adam")}
    assert "accuracy at the origin" in table
    for name, path in (("sam", pair.sam), ("adam", pair.adam)):
        accuracy = expected(path, pair.npz)
        shown = re.search(r"([\d.]+)(?: ± ([\d.]+))?%", found[name])
        assert shown is not None
        assert float(shown[1]) == pytest.approx(100 * accuracy, abs=0.006)
        if shown[2] is not None:
            assert float(shown[2]) == pytest.approx(100 * np.sqrt(accuracy * (1 - accuracy) / 39), abs=0.1)


def test_one_checkpoint_has_it_too(run, pair) -> None:
    done = run("sharpness", "--measures", "sam", pair.sam, *pair.data, *SIZES)
    assert f"{100 * expected(pair.sam, pair.npz):.2f}" in next(
        line for line in done.out.splitlines() if "accuracy at the origin" in line
    )
