"""Augmentation against slow loops over single images."""

import numpy as np
import pytest
import torch

from landscape.errors import LandscapeError
from landscape.training.pipeline.augment import (
    Augmentation,
    choose_augmentation,
    crop,
    cut_out,
    draw_augmentation,
    pad_images,
)

CPU = torch.device("cpu")


def make_images(count, channels, height, width):
    return torch.randint(
        0, 256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(("channels", "height", "width", "pad"), [(3, 12, 16, 4), (1, 8, 8, 1)])
def test_crops_and_flips_equal_a_slow_reference(channels, height, width, pad):
    images = make_images(40, channels, height, width)
    draws = draw_augmentation(Augmentation(pad, flip=True), 40, (height, width), seed=3, epoch=2, device=CPU)
    index = torch.from_numpy(np.random.default_rng(0).permutation(40))
    batch = crop(pad_images(images, pad), index, draws)
    assert batch.shape == (40, channels, height, width)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    flips = 0
    for position in range(40):
        canvas = np.zeros((channels, height + 2 * pad, width + 2 * pad), dtype=np.uint8)
        canvas[:, pad : pad + height, pad : pad + width] = images[index[position]]
        top, columns = int(draws.rows[position, 0]), draws.columns[position]
        left, mirrored = int(columns.min()), bool(columns[0] > columns[-1])
        expected = canvas[:, top : top + height, left : left + width]
        flips += mirrored
        np.testing.assert_array_equal(batch[position].numpy(), expected[:, :, ::-1] if mirrored else expected)
    assert 8 < flips < 32


def test_draws_cover_every_shift_evenly_and_only_flip_if_asked():
    draws = draw_augmentation(Augmentation(2, flip=True), 20_000, (6, 6), seed=0, epoch=1, device=CPU)
    left = draws.columns.min(1).values
    for shifts in (draws.rows[:, 0], left):
        frequencies = torch.bincount(shifts, minlength=5) / 20_000
        assert frequencies.tolist() == pytest.approx([0.2] * 5, abs=0.015)
    assert (draws.columns[:, 0] > draws.columns[:, -1]).double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert np.corrcoef(draws.rows[:, 0], left)[0, 1] == pytest.approx(0, abs=0.03)
    unflipped = draw_augmentation(Augmentation(2, flip=False), 20_000, (6, 6), seed=0, epoch=1, device=CPU)
    assert bool((unflipped.columns[:, 0] < unflipped.columns[:, -1]).all())
    assert torch.equal(unflipped.rows, draws.rows)


def test_draws_depend_on_seed_and_epoch_and_not_on_torchs_generator():
    def rows(seed, epoch):
        return draw_augmentation(Augmentation(4, flip=True), 100, (32, 32), seed=seed, epoch=epoch, device=CPU).rows

    first, state = rows(0, 1), torch.get_rng_state()
    torch.rand(3)
    assert torch.equal(first, rows(0, 1))
    assert not torch.equal(first, rows(0, 2))
    assert not torch.equal(first, rows(1, 1))
    torch.set_rng_state(state)


def test_choice_by_kind_of_data():
    assert choose_augmentation("auto", "cifar10", (3, 32, 32), is_images=True) == Augmentation(4, flip=True)
    assert choose_augmentation("auto", "folder", (3, 64, 96), is_images=True) == Augmentation(8, flip=True)
    assert choose_augmentation("auto", "digits", (1, 8, 8), is_images=True) == Augmentation(1, flip=False)
    assert choose_augmentation("auto", "svhn", (3, 32, 32), is_images=True) == Augmentation(4, flip=False)
    assert choose_augmentation("crop-flip", "digits", (1, 8, 8), is_images=True) == Augmentation(1, flip=True)
    assert choose_augmentation("crop", "cifar10", (3, 4, 4), is_images=True) == Augmentation(1, flip=False)
    assert choose_augmentation("none", "cifar10", (3, 32, 32), is_images=True) is None
    assert choose_augmentation("auto", "npz", (20,), is_images=False) is None
    assert choose_augmentation("none", "cifar10", (3, 32, 32), is_images=True, cutout=8) == Augmentation(cutout=8)
    with pytest.raises(LandscapeError, match="needs uint8 images"):
        choose_augmentation("crop", "npz", (20,), is_images=False)
    with pytest.raises(LandscapeError, match="'cutout' needs uint8 images"):
        choose_augmentation("auto", "npz", (20,), is_images=False, cutout=4)


def test_brightness_adds_one_number_to_each_image_and_clips():
    images = make_images(300, 3, 6, 6)
    augmentation = Augmentation(brightness=0.5)
    draws = draw_augmentation(augmentation, 300, (6, 6), seed=1, epoch=1, device=CPU)
    batch = crop(pad_images(images, 0), torch.arange(300), draws)
    assert batch.dtype == torch.uint8
    for image, original, added in zip(batch, images, draws.added, strict=True):
        expected = (original.double() + added.double()).clamp(0, 255)
        assert torch.equal(image.double(), expected)
    assert draws.added.min() >= -128
    assert draws.added.max() <= 128
    assert draws.added.double().std().item() == pytest.approx(257 / 12**0.5, rel=0.1)  # uniform


def test_cutout_blanks_a_square_around_any_pixel_and_nothing_else():
    side = 4
    draws = draw_augmentation(Augmentation(cutout=side), 2000, (8, 10), seed=1, epoch=1, device=CPU)
    inputs = torch.ones(2000, 2, 8, 10)
    out = cut_out(inputs, draws, side)
    for image, (row, column) in zip(out[:50], draws.centres[:50].tolist(), strict=True):
        expected = torch.ones(2, 8, 10)
        expected[:, max(0, row - 2) : row + 2, max(0, column - 2) : column + 2] = 0
        assert torch.equal(image, expected)
    assert set(draws.centres[:, 0].tolist()) == set(range(8))
    assert set(draws.centres[:, 1].tolist()) == set(range(10))
    assert torch.equal(inputs, torch.ones(2000, 2, 8, 10))
