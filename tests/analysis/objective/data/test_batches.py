"""Batches: fixed order, right counts, nested structures, resident or streamed, and nobody's random numbers moved."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from landscape.analysis.objective.data import batches as module
from landscape.analysis.objective.data.batches import Batches
from landscape.analysis.objective.data.nested import count_examples, map_tensors, tensors
from landscape.errors import LandscapeError

CPU = torch.device("cpu")


def examples(n: int = 11) -> tuple[Tensor, Tensor]:
    return torch.arange(2.0 * n).reshape(n, 2), torch.arange(n)


def inputs_of(batches: Batches, size: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat([x for x, _, _ in batches.iterate(size, dtype)])


def test_tensors_are_cut_in_order_with_a_short_last_batch() -> None:
    x, y = examples()
    found = list(Batches(x, y, device=CPU).iterate(4, torch.float32))
    assert [count for _, _, count in found] == [4, 4, 3]
    assert torch.equal(torch.cat([inputs for inputs, _, _ in found]), x)
    assert torch.equal(torch.cat([targets for _, targets, _ in found]), y)


@pytest.mark.parametrize("budget", [0.25, 0.0], ids=["kept", "prepared again in every pass"])
def test_every_pass_gives_the_same(budget: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESIDENT_FRACTION", budget)
    calls = []

    def preprocess(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x.double() / 3

    x, y = examples()
    batches = Batches(x, y, device=CPU, preprocess=preprocess)
    first, second = inputs_of(batches), inputs_of(batches)
    assert torch.equal(first, second)
    assert torch.equal(first, (x.double() / 3).float())
    assert calls == ([4, 4, 3] if budget else [4, 4, 3] * 2)


def test_a_pass_broken_off_is_not_kept_as_a_whole_one() -> None:
    x, y = examples()
    batches = Batches(x, y, device=CPU)
    assert next(batches.iterate(4, torch.float32))[2] == 4
    assert len(inputs_of(batches)) == 11


def test_floating_inputs_take_the_working_precision_and_integers_stay() -> None:
    x, y = examples()
    nested = {"ids": torch.arange(22).reshape(11, 2), "mask": x.half()}
    inputs, targets, _ = next(Batches(nested, y, device=CPU).iterate(4, torch.float64))
    assert inputs["ids"].dtype == torch.int64
    assert inputs["mask"].dtype == torch.float64
    assert targets.dtype == torch.int64
    assert torch.equal(inputs["ids"], nested["ids"][:4])


def test_images_are_channels_last() -> None:
    images = torch.rand(4, 3, 5, 5)
    found = inputs_of(Batches(images, torch.zeros(4), device=CPU))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, images)


def test_a_data_loader_is_streamed_and_counted() -> None:
    x, y = examples()
    batches = Batches(DataLoader(TensorDataset(x, y), batch_size=5), None, device=CPU)
    assert batches.examples == 11
    assert not batches.sizes_are_free
    assert [count for _, _, count in batches.iterate(99, torch.float32)] == [5, 5, 1]


def test_a_shuffled_loader_has_one_order_and_takes_none_of_the_callers_random_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RESIDENT_FRACTION", 0.0)  # read anew in every pass
    x, y = examples()
    loader = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    batches = Batches(loader, None, device=CPU)
    first = inputs_of(batches)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert torch.equal(inputs_of(batches), first)
    assert torch.equal(first.sort(0).values, x)


def test_random_numbers_stay_the_callers_between_batches() -> None:
    x, y = examples()
    batches = Batches(DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True), None, device=CPU)
    torch.manual_seed(3)
    drawn = [torch.rand(1).item() for _ in batches.iterate(1, torch.float32)]
    torch.manual_seed(3)
    assert drawn == [torch.rand(1).item() for _ in range(3)]


def test_a_generator_is_refused() -> None:
    def generator() -> Iterator[tuple[Tensor, Tensor]]:
        yield examples()

    with pytest.raises(LandscapeError, match="re-iterable"):
        Batches(generator(), None, device=CPU)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(4), "3 inputs but 4 targets"),
        ((torch.zeros(4, 2), torch.zeros(3)), torch.zeros(4), "3 inputs but 4 targets"),
        (torch.zeros(0, 2), torch.zeros(0), "no examples"),
        ([], None, "no examples"),
        ([torch.zeros(3, 2)], None, r"expected batches of \(inputs, targets\), got Tensor"),
        ([(torch.zeros(3, 2), "label")], None, "one entry per example"),
        (torch.zeros(3, 2), torch.tensor(1.0), "one entry per example"),
    ],
)
def test_unusable_data_get_one_clear_line(inputs: object, targets: object, message: str) -> None:
    with pytest.raises(LandscapeError, match=message) as error:
        Batches(inputs, targets, device=CPU)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("streamed", [False, True])
def test_labels_are_checked_against_the_outputs_also_in_later_batches(streamed: bool) -> None:
    x, y = examples()
    data = ([(x[:4], y[:4]), (x[4:], y[4:])], None) if streamed else (x, y)
    batches = Batches(*data, device=CPU)
    batches.check_labels(11)
    with pytest.raises(LandscapeError, match=r"labels run from 0 to 10, but the model has 10 outputs; expected 0 to 9"):
        batches.check_labels(10)


def test_nested_structures_keep_their_shape() -> None:
    nested = {"a": [torch.ones(2), (torch.zeros(2), "name")], "b": 3}
    assert [t.sum().item() for t in tensors(nested)] == [2, 0]
    doubled = map_tensors(lambda t: 2 * t, nested)
    assert doubled["a"][0].tolist() == [2, 2]
    assert doubled["a"][1][1] == "name"
    assert doubled["b"] == 3
    assert count_examples(nested) == 2
