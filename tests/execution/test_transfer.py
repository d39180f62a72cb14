"""Transfers from a GPU, on a fake one: what is queued, and what is waited for when."""

from __future__ import annotations

import pytest
import torch

from landscape.execution.transfer import start_transfer


class FakeDevice:
    """Records what is asked of a GPU, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        self.calls = calls

        class Event:
            def record(self, stream: str) -> None:
                calls.append(f"record on {stream}")

            def synchronize(self) -> None:
                calls.append("wait")

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")

    def tensor(self, name: str) -> FakeTensor:
        return FakeTensor(name, self.calls)


class FakeTensor:
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def to(self, device: str, *, non_blocking: bool) -> str:
        assert non_blocking
        self.calls.append(f"copy {self.name} to {device}")
        return f"{self.name} on {device}"


def test_a_copy_is_queued_at_once_and_waited_for_by_its_own_event(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeDevice(monkeypatch)
    finish = start_transfer({"a": gpu.tensor("a"), "b": gpu.tensor("b")}, torch.device("cuda:1"))  # type: ignore[dict-item]
    assert gpu.calls == ["copy a to cpu", "copy b to cpu", "record on the stream of cuda:1"]
    assert finish() == {"a": "a on cpu", "b": "b on cpu"}
    assert gpu.calls[3:] == ["wait"]


def test_tensors_of_the_cpu_are_themselves() -> None:
    tensor = torch.ones(2)
    assert start_transfer({"a": tensor}, torch.device("cpu"))()["a"] is tensor
