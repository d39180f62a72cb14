"""Context of a forward and backward pass: random states, BatchNorm statistics, restored weights, other processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm  # torch names no public base class of its BatchNorm layers
from torch.nn.parallel import DistributedDataParallel

from landscape.errors import LandscapeError
from landscape.training.sam.gradients import grouped

RandomStates: TypeAlias = dict[torch.device, Tensor]


def random_states(devices: Iterable[torch.device]) -> RandomStates:
    """Return the states of torch's generators by device, without devices that capture a CUDA graph."""
    states = {torch.device("cpu"): torch.get_rng_state()}
    for device in set(devices) - set(states):
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            continue
        states[device] = torch.get_device_module(device).get_rng_state(*_index(device))
    return states


def set_random_states(states: RandomStates) -> None:
    """Set torch's generators to these states."""
    for device, state in states.items():
        if device.type == "cpu":
            torch.set_rng_state(state)
        else:
            torch.get_device_module(device).set_rng_state(state, *_index(device))


def _index(device: torch.device) -> list[torch.device]:
    return [] if device.type == "mps" else [device]  # the calls of the single MPS device take no name


@contextmanager
def restored(weights: list[Tensor], copies: list[Tensor]) -> Iterator[None]:
    """Restore the weights bit for bit at the end, even after an exception; `copies` are overwritten with them."""
    if not weights:
        yield
        return
    torch._foreach_copy_(copies, weights)
    try:
        yield
    finally:
        torch._foreach_copy_(weights, copies)
        torch.clear_autocast_cache()  # which may hold casts of the perturbed weights


def batchnorms(model: nn.Module | None) -> list[_BatchNorm]:
    """Return the BatchNorm layers of a model."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm)] if model is not None else []


@contextmanager
def frozen_statistics(layers: Sequence[_BatchNorm]) -> Iterator[None]:
    """Use batch statistics in BatchNorm without updating the running ones and their count."""
    tracked = [m.track_running_stats for m in layers]
    try:
        for m in layers:
            m.track_running_stats = False
        yield
    finally:
        for m, track in zip(layers, tracked, strict=True):
            m.track_running_stats = track


class Replicas:
    """Processes that train replicas of a model, by its DistributedDataParallel wrapper; one process without it."""

    def __init__(self, model: nn.Module | None) -> None:
        modules = model.modules() if model is not None else ()
        self._wrappers = [m for m in modules if isinstance(m, DistributedDataParallel)]
        self._group = self._wrappers[0].process_group if self._wrappers else None
        self.count: int = self._group.size() if self._group is not None else 1
        self.rank: int = self._group.rank() if self._group is not None else 0

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Disable the averaging of gradients over the processes in the passes inside."""
        with ExitStack() as stack:
            for wrapper in self._wrappers:
                stack.enter_context(wrapper.no_sync())
            yield

    def average_gradients_(self, parameters: Sequence[Tensor]) -> None:
        """Average the gradients over the processes; one that is missing in a process counts as zero."""
        if self.count == 1:
            return
        for p in parameters:
            if p.requires_grad and p.grad is None:
                p.grad = torch.zeros_like(p)
        self.average_([p.grad for p in parameters if p.grad is not None])

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Average the tensors over the processes, in place."""
        if self.count == 1:
            return
        if any(t.is_sparse for t in tensors):
            raise LandscapeError(
                "sparse gradients of several processes are averaged by DistributedDataParallel alone, in a step with "
                "one closure: pass one closure, or set sparse=False"
            )
        for _, indices in grouped((t.device, t.dtype) for t in tensors):
            chosen = [tensors[i] for i in indices]
            flat = torch.cat([t.reshape(-1) for t in chosen]).div_(self.count)
            distributed.all_reduce(flat, group=self._group)
            parts = torch.split_with_sizes(flat, [t.numel() for t in chosen])
            torch._foreach_copy_(chosen, [part.view(t.shape) for part, t in zip(parts, chosen, strict=True)])

    def any(self, flag: Tensor) -> bool:
        """Return True if the flag is set in any process; waits for the device."""
        flag = flag.float()
        if self.count > 1:
            distributed.all_reduce(flag, distributed.ReduceOp.MAX, group=self._group)
        return bool(flag.item())
