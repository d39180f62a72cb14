"""Thresholds of glibc's allocator that keep large freed blocks in the process."""

from __future__ import annotations

import ctypes
import sys

# Names and numbers of malloc.h. By default glibc maps each block over 32 MB anew and unmaps it when freed, so that
# every activation tensor costs its page faults again: a forward pass of ResNet-20 takes two to three times as long.
_THRESHOLDS = {
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: keep freed memory at the top of the heap
    -2: 2**26,  # M_TOP_PAD: grow the heap by 64 MB at a time
    -3: 2**30,  # M_MMAP_THRESHOLD: take blocks up to 1 GB from the heap
}


def tune_allocator() -> bool:
    """Set thresholds that keep large freed blocks in this process; return True if glibc accepted them.

    False on other systems than Linux with glibc. Call it before large tensors are allocated; the command line does.

    >>> tune_allocator() in (True, False)
    True
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        return False
    return all(mallopt(name, value) == 1 for name, value in _THRESHOLDS.items())
