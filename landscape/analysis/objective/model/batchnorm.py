"""BatchNorm along a path through weight space: which statistics each point uses."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

    @contextlib.contextmanager
    def averaging(self) -> Iterator[Callable[[int], None]]:
        """Within this context running statistics are means over batches, each weighted by its number of examples.

        Yields a function to call with the number of examples before the pass of each batch.
        """
        seen: Counter[nn.Module] = Counter()
        size = 1

        def announce(examples: int) -> None:
            nonlocal size
            size = examples

        def weigh(layer: Any, _: Any) -> None:  # at each call: a layer may be called several times in a pass
            seen[layer] += size
            layer.momentum = size / seen[layer]

        hooks = [layer.register_forward_pre_hook(weigh) for layer in self._layers]
        try:
            with self.training():
                yield announce
        finally:
            for hook in hooks:
                hook.remove()


def batch_norms(model: nn.Module) -> BatchNorms:
    """Return a model's BatchNorm layers that keep running statistics."""
    return BatchNorms([m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats])


def recalibrated_buffers(
    buffers: Mapping[str, Tensor],
    norms: BatchNorms,
    run: Callable[[dict[str, Tensor], Any], None],
    batches: Iterable[tuple[Any, int]],
) -> dict[str, Tensor]:
    """Return the buffers after averaging BatchNorm's batch statistics over `batches` (Izmailov et al. 2018, SWA).

    `batches` are (inputs, number of examples); each counts by its number of examples. `run(buffers, inputs)` passes one
    batch through the network, which writes to the buffers given to it.
    """
    fresh = {name: buffer.clone() for name, buffer in buffers.items()}
    for name, buffer in fresh.items():
        if name.endswith("num_batches_tracked"):
            buffer.zero_()
    with torch.no_grad(), norms.averaging() as announce:
        for inputs, examples in batches:
            announce(examples)
            run(fresh, inputs)
    return fresh


def blended_buffers(models: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Interpolate buffers between models: running means and the logarithms of running variances are linear.

    At a model (one share is 1) its buffers are returned to the bit. Counters are those of the first model.

    Args:
        models: buffers of two or more models, of the same names.
        shares: one weight per model, of sum 1; negative beyond the others.
    """
    alone = next((model for model, share in zip(models, shares, strict=True) if share == 1), None)
    between = {}
    for name, first in models[0].items():
        values = [model[name].to(first) for model in models]
        if not first.is_floating_point():
            between[name] = first
        elif alone is not None:
            between[name] = alone[name].to(first)
        elif name.endswith("running_var"):  # equal ones stay, also those of dead channels, which are 0
            logs = [torch.log(variance) for variance in values]
            same = torch.stack([variance == first for variance in values]).all(0)
            between[name] = torch.where(same, first, torch.exp(_blend(logs, shares)))
        else:
            between[name] = _blend(values, shares)
    return between


def _blend(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    total = shares[0] * values[0]
    for value, share in zip(values[1:], shares[1:], strict=True):
        if share != 0:
            total = total + share * value
    return total
