"""Devices by name, the best one for "auto", and the refusal of those that hold no values."""

import pytest
import torch

from landscape.errors import LandscapeError
from landscape.execution.device import choose_device


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
