import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.analysis.surfaces.levels import stratified_estimate
from landscape.data import Dataset, Split, hold_out, load_dataset, quota_subset, stratified_subset
from landscape.errors import LandscapeError

PINNED_SUBSET = [0, 14, 24, 40, 46, 56]
COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    counts=COUNTS, sizes=st.lists(st.integers(1, 200), min_size=2, max_size=2).map(sorted), seed=st.integers(0, 2**40)
)
def test_subsets_are_proportional_and_nested(counts, sizes, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)) * 3, counts))
    small, large = (stratified_subset(torch.from_numpy(labels), size, seed).numpy() for size in sizes)
    for size, subset in zip(sizes, (small, large), strict=True):
        assert len(subset) == min(size, len(labels)) == len(set(subset.tolist()))
        assert (np.diff(subset) > 0).all()
        for place, count in enumerate(counts):
            share = len(subset) * count / len(labels)
            assert abs((labels[subset] == place * 3).sum() - share) < 1
    assert set(small.tolist()) <= set(large.tolist())


def test_subsets_depend_on_the_seed_and_are_pinned():
    labels = torch.arange(3).repeat(20)
    assert stratified_subset(labels, 6, 0).tolist() == PINNED_SUBSET
    assert stratified_subset(labels, 6, 1).tolist() != PINNED_SUBSET
    chosen = torch.cat([stratified_subset(labels, 30, seed) for seed in range(200)])
    frequency = torch.bincount(chosen, minlength=60) / 200
    assert (frequency - 0.5).abs().max() < 0.18  # five standard deviations of a fair coin over 200 throws


ZIPF = np.repeat(np.arange(100), np.maximum(1, 120 // np.arange(1, 101)))
LABELS = {
    "balanced": (np.arange(10).repeat(40), 60),
    "one of each": (np.arange(120), 40),
    "imbalanced": (np.repeat(np.arange(6), [150, 90, 60, 20, 7, 3]), 60),
    "Zipf": (ZIPF, 80),
}


@pytest.mark.parametrize("kind", LABELS)
def test_every_example_has_the_same_chance_and_standard_errors_hold(kind: str) -> None:
    """The loss depends on the class: between rare classes as well as within them."""
    codes, size = LABELS[kind]
    labels = torch.from_numpy(codes)
    noise = np.random.default_rng(1).normal(size=len(codes))
    losses = torch.from_numpy(1 + np.sqrt(codes / codes.max()) * 2 + 0.5 * noise)
    ratios, chosen = [], []
    for seed in range(200):
        subset = stratified_subset(labels, size, seed)
        values = losses[subset]
        sums = torch.zeros(int(codes.max()) + 1, 3, dtype=torch.float64)
        sums.index_add_(0, labels[subset], torch.stack([values, values**2, torch.ones_like(values)], 1))
        found = stratified_estimate(sums)
        assert found.value == pytest.approx(values.mean().item())
        ratios.append((found.value - losses.mean().item()) / found.stderr)
        chosen.append(subset)
    assert np.mean(np.abs(ratios) <= 2) >= 0.9
    assert abs(np.mean(ratios)) < 0.3
    share = size / len(codes)
    frequency = torch.bincount(torch.cat(chosen), minlength=len(codes)) / 200
    assert (frequency - share).abs().max() < 5.5 * (share * (1 - share) / 200) ** 0.5
    rare = torch.bincount(labels)[labels] == 1
    if rare.any():
        assert frequency[rare].mean().item() == pytest.approx(share, rel=0.1)


def test_exactly_balanced_subsets_are_those_of_earlier_versions() -> None:
    labels = torch.arange(10).repeat(30)
    for size in (10, 50, 200):
        assert torch.equal(stratified_subset(labels, size, 3), quota_subset(labels, size, 3))


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (-3, 0), (5, -1)])
def test_senseless_subsets_are_refused(size, seed):
    with pytest.raises(LandscapeError):
        stratified_subset(torch.zeros(9, dtype=torch.int64), size, seed)


# ---- holding out


def numbered(labels, **more):
    """A data set whose inputs are the numbers of its examples, with a test split beside."""
    labels = torch.as_tensor(labels)
    numbers = torch.arange(len(labels), dtype=torch.float32)[:, None]
    test = Split(-numbers[:2] - 1, labels[:2])
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return Dataset("python", {"train": Split(numbers, labels), "test": test}, classes, **more)


def numbers(split):
    return split.inputs[:, 0].int().tolist()


@settings(max_examples=40, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 2**40), data=st.data())
def test_held_out_examples_are_stratified_nested_and_no_longer_in_train(counts, seed, data):
    labels = [*np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).tolist(), 0]
    small, large = sorted(data.draw(st.lists(st.integers(1, len(labels) - 1), min_size=2, max_size=2)))
    held = {}
    for size in (small, large):
        divided = hold_out(numbered(labels), size, seed=seed)
        train, validation = divided.splits["train"], divided.splits["validation"]
        held[size] = set(numbers(validation))
        assert len(validation) == len(held[size]) == size
        assert sorted(numbers(train) + numbers(validation)) == list(range(len(labels)))
        for split in (train, validation):
            assert numbers(split) == sorted(numbers(split))
            assert split.labels.tolist() == [labels[number] for number in numbers(split)]
        share = np.bincount(labels) * size / len(labels)
        assert (np.abs(np.bincount(validation.labels, minlength=len(counts)) - share) < 1).all()
    assert held[small] <= held[large]


def test_all_else_stays_and_the_same_examples_are_held_out_every_time():
    dataset = load_dataset("digits")
    whole = dataset.fingerprint("train")
    divided = hold_out(dataset, 200)
    assert list(divided.splits) == ["train", "validation", "test"]
    assert divided.splits["test"] is dataset.splits["test"]
    for name in ("kind", "name", "classes", "mean", "std", "normalization", "notes"):
        assert getattr(divided, name) == getattr(dataset, name)
    assert list(dataset.splits) == ["train", "test"]  # the caller's is as it was
    parts = [int(divided.fingerprint(split), 16) for split in ("train", "validation")]
    assert sum(parts) % 2**256 == int(whole, 16)  # fingerprints are sums over the examples
    assert divided.describe()["examples"] == {"train": 1237, "validation": 200, "test": 360}
    again = hold_out(dataset, 200)
    assert again.fingerprint("validation") == divided.fingerprint("validation")
    assert hold_out(dataset, 200, seed=5).fingerprint("validation") != divided.fingerprint("validation")


def test_subsets_of_analyses_are_no_held_out_examples():
    dataset = numbered(torch.arange(10).repeat(100))
    validation = set(numbers(hold_out(dataset, 200).splits["validation"]))
    measured = set(stratified_subset(dataset.splits["train"].labels, 200, 0).tolist())
    assert len(validation & measured) < 80  # about 40 by chance; all 200 if both had one seed


@pytest.mark.parametrize(("examples", "message"), [(0, "cannot hold out 0 of 9"), (-1, "-1 of 9"), (9, "1…8")])
def test_holding_out_nothing_or_everything_is_refused(examples, message):
    with pytest.raises(LandscapeError, match=message):
        hold_out(numbered([0] * 9), examples)


def test_a_second_validation_split_is_refused():
    with pytest.raises(LandscapeError, match="validation split already"):
        hold_out(hold_out(numbered([0] * 9), 3), 3)
