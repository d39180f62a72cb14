"""Float32 that is float32 on every device: torch's older and newer switches, also where a caller mixed them."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.precision import full_float32

NEW = ["cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.matmul"]


def precision_of(name: str) -> str:
    backend, operation = name.split(".")
    return str(getattr(getattr(torch.backends, backend), operation).fp32_precision)


def switches() -> dict[str, object]:
    """Return all switches; the older ones as "contradicts" if torch refuses to read them."""
    found: dict[str, object] = {name: precision_of(name) for name in NEW}
    older: dict[str, Callable[[], object]] = {
        "allow_tf32": lambda: torch.backends.cudnn.allow_tf32,
        "matmul": torch.get_float32_matmul_precision,
    }
    for name, read in older.items():
        try:
            found[name] = read()
        except RuntimeError:
            found[name] = "contradicts"
    return found


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    yield
    torch.backends.fp32_precision = torch.backends.cudnn.fp32_precision = "none"  # `cudnn.flags` sets the latter
    for name in NEW:
        backend, operation = name.split(".")
        getattr(getattr(torch.backends, backend), operation).fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = True


def conv_is_ieee() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # as torch's documentation advises


def all_is_tf32() -> None:
    torch.backends.fp32_precision = "tf32"  # type: ignore[attr-defined]


def matmul_is_high() -> None:
    torch.set_float32_matmul_precision("high")


def no_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = False


def nothing() -> None:
    pass


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has the older switches only")
@pytest.mark.parametrize("choose", [nothing, no_tf32, matmul_is_high, conv_is_ieee, all_is_tf32])
def test_nothing_rounds_inside_and_the_callers_switches_return(choose: Callable[[], None]) -> None:
    choose()
    before = switches()
    with full_float32():
        assert switches() == {**dict.fromkeys(NEW, "ieee"), "allow_tf32": False, "matmul": "highest"}
        with torch.backends.cudnn.flags(enabled=False):  # reads the older ones
            pass
    assert switches() == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has the older switches only")
def test_an_inherited_precision_is_inherited_afterwards() -> None:
    all_is_tf32()
    with full_float32():
        pass
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
    assert precision_of("cuda.matmul") == precision_of("mkldnn.conv") == "ieee"


def test_an_objective_takes_the_newer_switches() -> None:
    if hasattr(torch.backends.cudnn, "conv"):
        conv_is_ieee()
    model = nn.Linear(2, 1, bias=False)
    objective = Objective(model, "mse", torch.eye(2), torch.zeros(2, 1), device="cpu")
    assert objective.loss() == pytest.approx(model.weight.square().mean().item())
