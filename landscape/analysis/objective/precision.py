"""Precisions of a pass, and float32 that is full float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["float64", "float32", "bfloat16"]

DTYPES: dict[str, torch.dtype] = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within this context float32 convolutions on CUDA are float32; by default torch rounds to TF32's 10-bit mantissa.

    Values that are compared with bfloat16's, and all gradients and products, rely on it. A caller's autocast does not
    reach inside either: a precision is what an objective says.
    """
    cudnn = torch.backends.cudnn
    with (
        cudnn.flags(
            enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
        ),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield
