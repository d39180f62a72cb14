"""Every keyed stream of random numbers gives the values that earlier versions stored in files and checkpoints."""

import doctest

import numpy as np
import pytest
import torch

from landscape import seeding
from landscape.analysis.planes.normalization import raw_direction
from landscape.analysis.sharpness.solvers.random_subspace import RandomManifold
from landscape.analysis.surfaces.multilevel.tolerance import held_out
from landscape.data.subset import stratified_subset
from landscape.seeding import derived_seed, numbered_generator, random_indices, random_words, seeded_generator
from landscape.training.pipeline.shuffling import epoch_order


def test_the_examples_hold() -> None:
    assert doctest.testmod(seeding).failed == 0


def test_hashed_keys_keep_their_streams() -> None:
    assert seeded_generator("subsets", 3).permutation(8).tolist() == [1, 0, 6, 2, 5, 4, 7, 3]
    assert seeded_generator("study", 0).integers(5, size=6).tolist() == [2, 4, 3, 0, 4, 2]
    assert seeded_generator("curve", 3, "order", 2).permutation(6).tolist() == [0, 4, 5, 2, 1, 3]


def test_numbered_and_raw_streams_keep_their_values() -> None:
    interior = numbered_generator((2 << 32) + 1).uniform(-1.0, 1.0, 3)
    assert interior.tolist() == [0.5366892246819326, 0.800316397504947, 0.2819542288325896]
    assert numbered_generator(0).bit_generator.random_raw(2).tolist() == [213000021201967259, 4455796210202625458]
    assert random_words(3, 4, 5, 1).tolist() == [7664885152130532670, 7800313660937138425, 437741197586460404]
    assert derived_seed(1, 0.5, -0.25) == 6439927761235262725


def test_what_is_drawn_from_them_is_unchanged() -> None:
    direction = raw_direction({"conv1.weight": torch.Size([3])}, 7, 1)["conv1.weight"]
    assert direction.tolist() == [0.8209108114242554, 0.6203946471214294, -0.730390727519989]
    assert random_indices(9).tolist() == [0, 6, 7, 5, 8, 1, 3, 2, 4]
    assert stratified_subset(torch.arange(20) % 3, 6, 4).tolist() == [0, 1, 2, 5, 18, 19]
    assert held_out(np.random.default_rng(0).random((30, 2)), 5, 9).tolist() == [29, 26, 23, 3, 14]
    column = RandomManifold(4, 2, seed=5).times(np.array([1.0, 0.0]))
    expected = [-1.9032288789749146, -1.1243802309036255, -2.2795536518096924, -0.6049728393554688]
    assert column.tolist() == pytest.approx(expected, abs=0)
    order = np.argsort(np.random.Philox(np.random.SeedSequence((4, 5, 0))).random_raw(9), kind="stable")
    assert epoch_order(9, seed=4, epoch=5, device=torch.device("cpu")).tolist() == order.tolist()
