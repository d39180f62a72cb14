"""Precisions of a pass, and float32 that is full float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["float64", "float32", "bfloat16"]

DTYPES: dict[str, torch.dtype] = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


_OPERATIONS = ("cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.conv", "mkldnn.rnn", "mkldnn.matmul")


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within this context float32 is float32; by default convolutions on CUDA round to TF32's 10-bit mantissa.

    Values that are compared with bfloat16's, and all gradients and products, rely on it. A caller's autocast does not
    reach inside either: a precision is what an objective says.
    """
    with _unrounded(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


@contextlib.contextmanager
def _unrounded() -> Iterator[None]:
    """Within this context no operation rounds its float32 inputs, whatever the caller's switches say.

    torch 2.9 brought a switch for each operation, which inherits from a global one. The older two are set as well:
    torch refuses to read them while they contradict the newer ones, and its own `cudnn.flags` reads them.
    """
    cudnn = torch.backends.cudnn
    operations = [operation for operation in map(_operation, _OPERATIONS) if operation is not None]
    before = [operation.fp32_precision for operation in operations]
    tf32, matmul = True, "highest"  # torch's defaults
    with contextlib.suppress(RuntimeError):  # where they contradict the newer ones
        tf32 = cudnn.allow_tf32
    with contextlib.suppress(RuntimeError):
        matmul = torch.get_float32_matmul_precision()
    try:
        cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        for operation in operations:
            operation.fp32_precision = "ieee"
        yield
    finally:
        cudnn.allow_tf32 = tf32
        torch.set_float32_matmul_precision(matmul)
        for operation, value in zip(operations, before, strict=True):
            operation.fp32_precision = "none"  # inherits
            if operation.fp32_precision != value:
                operation.fp32_precision = value


def _operation(name: str) -> Any:
    """Return the switches of an operation such as "cudnn.conv"; None if this torch has none for it."""
    backend, _, operation = name.partition(".")
    switches = getattr(getattr(torch.backends, backend), operation, None)
    return switches if hasattr(switches, "fp32_precision") else None
