"""The device of the tests marked gpu: CUDA, or what LANDSCAPE_TEST_DEVICE says, to try the tests without one."""

import contextlib
import os
from collections.abc import Iterator

import pytest
import torch

DEVICE = os.environ.get("LANDSCAPE_TEST_DEVICE", "cuda")
ON_CUDA = DEVICE.startswith("cuda")

GPU = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),  # of torch's compiler, when it is imported
    pytest.mark.skipif(ON_CUDA and not torch.cuda.is_available(), reason="no CUDA device"),
]
CUDA_ONLY = pytest.mark.skipif(not ON_CUDA, reason="about CUDA itself")


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Within this context an operation that waits for the device is an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within this context training in float32 is neither rounded to TF32 nor nondeterministic."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
