"""BatchNorm along a path through weight space: which statistics each point uses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape.errors import LandscapeError

BatchNormMode: TypeAlias = Literal["fixed", "recalibrated", "batch"]
MODES: tuple[BatchNormMode, ...] = get_args(BatchNormMode)


class BatchNorms:
    """The BatchNorm layers of a model that keep running statistics, switched to training mode only for a while."""

    def __init__(self, layers: list[_BatchNorm]) -> None:
        self._layers = layers

    def __bool__(self) -> bool:
        return bool(self._layers)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Within this context the layers use, and average without decay, the statistics of their batches."""
        momenta = [layer.momentum for layer in self._layers]
        try:
            for layer in self._layers:
                layer.training, layer.momentum = True, None
            yield
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise LandscapeError(
                "a batch of 1 example has no BatchNorm statistics; choose a batch_size that does not leave one over"
            ) from error
        finally:
            for layer, momentum in zip(self._layers, momenta, strict=True):
                layer.training, layer.momentum = False, momentum


def batch_norms(model: nn.Module) -> BatchNorms:
    """Return a model's BatchNorm layers that keep running statistics."""
    return BatchNorms([m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats])


def recalibrated_buffers(
    buffers: Mapping[str, Tensor],
    norms: BatchNorms,
    run: Callable[[dict[str, Tensor], Any], None],
    batches: Iterable[Any],
) -> dict[str, Tensor]:
    """Return the buffers after averaging BatchNorm's batch statistics over `batches` (Izmailov et al. 2018, SWA).

    `run(buffers, inputs)` passes one batch through the network, which writes to the buffers given to it.
    """
    fresh = {name: buffer.clone() for name, buffer in buffers.items()}
    for name, buffer in fresh.items():
        if name.endswith("num_batches_tracked"):
            buffer.zero_()  # with no momentum, the average runs over the batches counted here
    with torch.no_grad(), norms.training():
        for inputs in batches:
            run(fresh, inputs)
    return fresh


def interpolated_buffers(a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float) -> dict[str, Tensor]:
    """Return buffers between two models: running means linear in t, logarithms of running variances linear in t.

    At t = 0 and t = 1 those of the models themselves, to the bit.
    """
    between = {}
    for name, x in a.items():
        y = b[name].to(x)
        if t == 0 or not x.is_floating_point():
            between[name] = x
        elif t == 1:
            between[name] = y
        elif name.endswith("running_var"):  # equal ones stay, also those of dead channels, which are 0
            between[name] = torch.where(x == y, x, torch.exp((1 - t) * torch.log(x) + t * torch.log(y)))
        else:
            between[name] = (1 - t) * x + t * y
    return between
