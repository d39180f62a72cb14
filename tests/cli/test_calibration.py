"""The training examples that the command line re-estimates BatchNorm's statistics from."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from landscape.data import Dataset, Split
from landscape.models.checkpoint import Checkpoint, load_checkpoint
from landscape.storage.loading import load
from landscape.workflow.sources.calibration import (
    AugmentedBatches,
    augmentation_of,
    calibration_inputs,
    calibration_words,
)


def dataset(examples: int = 40, size: int = 8) -> Dataset:
    """Return images whose pixels all are their number plus one: nothing but padding is black."""
    images = torch.arange(1, examples + 1, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, size, size)
    labels = torch.arange(examples) * 4 // examples  # in the order of the classes
    return Dataset("folder", {"train": Split(images, labels)}, tuple("abcd"), mean=(0.0,), std=(1 / 255,))


def trained(**training: Any) -> Checkpoint:
    return Checkpoint({}, "resnet20", {}, {"augmented": training["augment"] != "none"}, training, {}, {})


def test_without_augmentation_they_are_training_images_in_random_order() -> None:
    for checkpoint in (None, trained(augment="none")):
        inputs = calibration_inputs(dataset(), checkpoint)
        numbers = inputs[:, 0, 0, 0].round().int().tolist()
        assert sorted(numbers) == list(range(1, 41))
        assert numbers != sorted(numbers)
        assert torch.equal(inputs, calibration_inputs(dataset(), checkpoint))
        assert calibration_words(dataset(), checkpoint) == "40 random training examples"


def test_with_crops_borders_are_black_as_often_as_in_training() -> None:
    """8×8 images are padded by one pixel: a shift is drawn from {−1, 0, 1} in each direction."""
    checkpoint = trained(augment="crop-flip", brightness=0.0, cutout=0)
    inputs = calibration_inputs(dataset(250), checkpoint)
    shares = [(inputs[:, 0, row, 4] == 0).float().mean().item() for row in (0, 3, 7)]
    assert shares[0] == pytest.approx(1 / 3, abs=0.12)
    assert shares[1] == 0
    assert shares[2] == pytest.approx(1 / 3, abs=0.12)
    assert inputs.shape == (250, 1, 8, 8)
    assert "augmented as in training" in calibration_words(dataset(), checkpoint)


def test_mini_batches_of_a_step_are_the_same_again_and_cover_an_epoch() -> None:
    augmentation = augmentation_of(dataset(), trained(augment="crop"))
    assert augmentation is not None
    first, second = (AugmentedBatches(dataset(), slice(None), augmentation, size=8, seed=3) for _ in range(2))
    steps = {step: first(step) for step in (0, 1, 2, 3, 4, 5)}
    middles = torch.cat([steps[step][0][:, 0, 4, 4] for step in range(5)]).round().int()  # no shift reaches them
    assert sorted(middles.tolist()) == list(range(1, 41))
    assert not torch.equal(steps[0][0], steps[5][0])
    for step in (5, 2):
        assert all(torch.equal(a, b) for a, b in zip(second(step), steps[step], strict=True))
    few = AugmentedBatches(dataset(), torch.tensor([3, 5]), augmentation, size=8, seed=3)
    assert sorted(few(7)[0][:, 0, 4, 4].round().tolist()) == [4, 6]


def test_only_so_many_are_drawn() -> None:
    big = dataclasses.replace(
        dataset(), splits={"train": Split(torch.zeros(1500, 1, 4, 4).byte(), torch.arange(1500) % 4)}
    )
    assert len(calibration_inputs(big, None)) == 1000
    assert calibration_words(big, None) == "1000 random training examples"


def test_the_test_loss_is_measured_with_statistics_of_training_examples(run, pair) -> None:
    """Whichever splits and however many examples are measured, the statistics are the same."""
    words = ("surface", pair.sam, *pair.data, "--plane", "line", "--points", "3", "--precision", "float32")
    for name, more in {"both": ("train,test", "all"), "one": ("test", "all")}.items():
        options = ("--splits", more[0], "--subset", more[1], "--batchnorm", "recalibrated", "--name", name)
        assert run(*words, *options).code == 0
    both, one = (load("results/sam.h5")[f"sam/{name}"] for name in ("both", "one"))
    np.testing.assert_array_equal(both.grid("loss")[1], one.grid("loss")[0])
    assert one.attributes["calibration"] == "64 random training examples, augmented as in training"
    assert load_checkpoint(pair.sam).data["augmented"]
