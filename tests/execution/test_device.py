"""Devices by name, the best one for "auto", and the refusal of those that hold no values."""

import contextlib
from collections.abc import Iterator

import pytest
import torch

from landscape.errors import LandscapeError
from landscape.execution.device import choose_device, free_memory, has_bfloat16


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_is_taken_by_name_or_as_itself(device: str | torch.device) -> None:
    assert choose_device(device) == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_is_the_best_device_of_the_machine(
    cuda: bool, mps: bool, best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto") == torch.device(best)


@pytest.mark.parametrize("name", ["meta", "tpu", "cpu:x", torch.device("meta")])
def test_a_device_without_values_is_refused_by_name(name: str | torch.device) -> None:
    with pytest.raises(LandscapeError, match=f"device '{name}' cannot be used here; use auto, cpu"):
        choose_device(name)


def test_free_memory_of_a_gpu_includes_what_torch_has_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 30)
    assert free_memory(torch.device("cuda")) == 140


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_is_asked_of_the_gpu_in_question(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    current = []

    @contextlib.contextmanager
    def within(device: torch.device) -> Iterator[None]:
        current.append(device)
        yield
        current.pop()

    def is_supported(including_emulation: bool) -> bool:
        assert not including_emulation
        return supported and current == [torch.device("cuda:1")]

    monkeypatch.setattr(torch.cuda, "device", within)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert has_bfloat16(torch.device("cuda:1")) == supported
