"""A private copy of a model as a function of its tensors: parameters, buffers, BatchNorm mode, folding, precision."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from landscape.analysis.objective.data.nested import Nested, Weights, map_tensors, tensors, working_copy
from landscape.analysis.objective.model.batchnorm import MODES, BatchNormMode, batch_norms, recalibrated_buffers
from landscape.analysis.objective.model.folding import Folding, NotFoldableError, find_folding
from landscape.analysis.objective.model.loss_module import LossModule
from landscape.analysis.objective.model.model_copy import copy_for_derivatives
from landscape.analysis.objective.model.parameters import moving_parameters
from landscape.analysis.objective.model.random_state import RandomState
from landscape.analysis.objective.model.rounding import rounded_biases, rounded_kernels
from landscape.errors import LandscapeError
from landscape.execution.threads import in_worker_thread

FOLDING_TOLERANCE = 1e-3  # relative difference of outputs above which a folding is not trusted


class Forward(Protocol):
    """The network at a point of weight space, a function of inputs and the batch's index in the pass."""

    def __call__(self, inputs: Nested, index: int = 0) -> Any:
        """Return the outputs of one batch."""


class Network:
    """A deep copy of a model in evaluation mode whose tensors are always passed in, never changed in place.

    Args:
        model: left untouched.
        params: comma-separated globs of the parameters that move.
        batchnorm: which statistics BatchNorm uses along a path.
        dtype: of the stored tensors and of derivatives.
        calibration: returns the batches of inputs that "recalibrated" statistics are averaged over, with their sizes.
        model_loss: a loss of model and batch, whose values are then the outputs.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        params: str,
        batchnorm: BatchNormMode,
        dtype: torch.dtype,
        device: torch.device,
        calibration: Callable[[], Iterable[tuple[Nested, int]]],
        model_loss: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        if batchnorm not in MODES:
            raise LandscapeError(f"unknown batchnorm {batchnorm!r}; expected one of {', '.join(MODES)}")
        self.module = copy_for_derivatives(model, dtype, device)
        self._loss_module = None if model_loss is None else LossModule(self.module, model_loss)
        self.dtype = dtype
        self.origin: Weights = moving_parameters(self.module, params)
        self.buffers: Weights = {name: b.detach() for name, b in self.module.named_buffers()}
        self._still: Weights = {n: p.detach() for n, p in self.module.named_parameters() if n not in self.origin}
        self._norms = batch_norms(self.module)
        self.batchnorm: BatchNormMode = batchnorm if self._norms else "fixed"
        self._calibration = calibration
        self._recalibrated_origin: Weights | None = None
        self._folding: Folding | None = None
        self._random: RandomState | None = RandomState(device)  # None once the model is known to draw none
        self._writes_inputs = False  # whether the forward pass changes its inputs in place
        self._needs_gradients = False  # whether the forward pass differentiates by its inputs
        self.not_folded_because = "folding was switched off"

    @property
    def is_folded(self) -> bool:
        """True if BatchNorm is folded into convolutions."""
        return self._folding is not None

    @property
    def is_pure(self) -> bool:
        """True if a pass runs torch's own modules only, by a traced graph, so that it may run in several threads."""
        return self._folding is not None and self._folding.is_pure and not self.is_random

    @property
    def is_random(self) -> bool:
        """True if the model draws random numbers in evaluation mode."""
        return self._random is not None

    def at(self, state: Mapping[str, Tensor]) -> Network:
        """Return the network at other parameters and buffers, those of a state dict; names that it lacks stay."""

        def at_state(tensors: Weights) -> Weights:
            return {name: state[name].detach().to(old) if name in state else old for name, old in tensors.items()}

        other = copy.copy(self)
        other.origin, other.buffers = at_state(self.origin), at_state(self.buffers)
        other._still, other._recalibrated_origin = at_state(self._still), None
        return other

    def probe(self, inputs: Nested, *, fold: bool) -> Any:
        """Return the model's outputs on a few inputs; fold BatchNorm if asked, possible, and proven on them."""
        given = map_tensors(torch.clone, inputs)
        versions = [tensor._version for tensor in tensors(given)]
        with torch.no_grad():
            try:
                outputs = self._call(self.module, self._tensors(None, None), given)
            except RuntimeError as error:
                if "does not require grad" not in str(error):
                    raise
                self._needs_gradients = True
                outputs = self._call(self.module, self._tensors(None, None), given)
        if self._random is not None and not self._random.used:
            self._random = None
        self._writes_inputs = versions != [tensor._version for tensor in tensors(given)]
        if self._loss_module is not None:
            self.not_folded_because = "the loss runs the model itself"
        elif fold:
            self._folding, self.not_folded_because = self._find_folding(inputs)
        return outputs

    def forward(
        self, weights: Mapping[str, Tensor] | None, buffers: Mapping[str, Tensor] | None, dtype: torch.dtype
    ) -> Forward:
        """Return the network at a point of weight space as a function of inputs, its tensors folded and cast once.

        The function also takes the index of the batch in its pass: in bfloat16, biases are rounded differently for
        successive batches, so that the errors cancel. A random model draws the same numbers in every pass.
        """
        if self._random is not None:
            self._random.restart()
        tensors = self._tensors(weights, buffers)
        if self.batchnorm == "batch":
            return self._batch_statistics(tensors, dtype)
        if self.batchnorm == "recalibrated":
            tensors.update(self.recalibrated(weights, buffers))
        if dtype == torch.float64:  # fold in it, too
            tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
        network, tensors = self._fast(tensors)
        copies = _working_copies(network, tensors, dtype)
        return lambda inputs, index=0: self._call(network, copies[index % len(copies)], inputs)

    def point(self, weights: Mapping[str, Tensor] | None) -> tuple[Weights, Weights]:
        """Return the moving parameters at a point, and the buffers to hold fixed while differentiating there.

        Raises:
            LandscapeError: in mode "batch", where the loss is not the one of evaluation mode.
        """
        if self.batchnorm == "batch":
            raise LandscapeError(
                "derivatives are of the loss in evaluation mode; use batchnorm='fixed' or 'recalibrated', not 'batch'"
            )
        moving = {name: (weights or {}).get(name, w) for name, w in self.origin.items()}
        if self.batchnorm == "fixed":
            return moving, self.buffers
        if weights is not None:
            return moving, self.recalibrated(weights)
        if self._recalibrated_origin is None:
            self._recalibrated_origin = self.recalibrated(None)
        return moving, self._recalibrated_origin

    def outputs(self, moving: Weights, buffers: Weights, inputs: Nested, dtype: torch.dtype | None = None) -> Any:
        """Return the outputs as a differentiable function of the moving parameters, through the folding.

        Folded in the network's precision, run in `dtype` (the network's by default).
        """
        network, tensors = self._fast({**self._still, **buffers, **moving})
        ready = {name: working_copy(t, dtype or self.dtype) for name, t in tensors.items()}
        return self._call(network, ready, inputs)

    def recalibrated(
        self, weights: Mapping[str, Tensor] | None, buffers: Mapping[str, Tensor] | None = None
    ) -> Weights:
        """Return all buffers, BatchNorm's running statistics re-estimated at `weights` on the calibration set."""

        def run(scratch: Weights, inputs: Nested) -> None:
            self._call(self.module, {**self._tensors(weights, None), **scratch}, inputs)

        return recalibrated_buffers({**self.buffers, **(buffers or {})}, self._norms, run, self._calibration())

    def run(self, tensors: Mapping[str, Tensor], inputs: Nested) -> Any:
        """Return the outputs of the network as it is, with these parameters and buffers."""
        return self._call(self.module, tensors, inputs)

    def _call(self, network: nn.Module, tensors: Mapping[str, Tensor], inputs: Nested) -> Any:
        if self._needs_gradients and not torch.is_grad_enabled():
            with torch.enable_grad():
                outputs = self._call(network, tensors, inputs)
            return map_tensors(Tensor.detach, outputs)
        given = map_tensors(torch.clone, inputs) if self._writes_inputs else inputs
        if self._needs_gradients:
            given = map_tensors(Tensor.detach, given)  # so that `requires_grad_()` does not reach the data
        with self._random_set_aside():
            if self._loss_module is not None:
                return functional_call(self._loss_module, {f"model.{name}": t for name, t in tensors.items()}, (given,))
            return call(network, tensors, given)

    def _random_set_aside(self) -> AbstractContextManager[None]:
        return nullcontext() if self._random is None else self._random.set_aside()

    def _tensors(self, weights: Mapping[str, Tensor] | None, buffers: Mapping[str, Tensor] | None) -> Weights:
        return {**self._still, **self.origin, **self.buffers, **(buffers or {}), **(weights or {})}

    def _fast(self, tensors: Weights) -> tuple[nn.Module, Weights]:
        if self._folding is None:
            return self.module, tensors
        return self._folding.network, self._folding.fold(tensors)

    def _batch_statistics(self, tensors: Weights, dtype: torch.dtype) -> Forward:
        copies = _working_copies(self.module, tensors, dtype)

        def forward(inputs: Nested, index: int = 0) -> Any:
            ready = copies[index % len(copies)]
            scratch = {name: ready[name].clone() for name in self.buffers}  # running statistics are written to
            with self._norms.training():
                return self._call(self.module, {**ready, **scratch}, inputs)

        return forward

    def _find_folding(self, inputs: Nested) -> tuple[Folding | None, str]:
        if self.batchnorm == "batch":
            return None, "batch statistics cannot be folded"
        try:
            with self._random_set_aside():  # tracing runs the forward pass
                folding = find_folding(self.module)
        except NotFoldableError as reason:
            return None, str(reason)
        tensors = self._tensors(None, None)
        for point in (tensors, _elsewhere(tensors)):
            with torch.no_grad():
                plain = self._call(self.module, point, inputs)
                try:
                    folded = self._call(folding.network, folding.fold(point), inputs)
                except Exception as error:  # traced on proxies, a forward can take a branch that real inputs do not
                    return None, f"as torch.fx traced it, it fails ({type(error).__name__})"
            if not isinstance(plain, Tensor) or not isinstance(folded, Tensor):
                return None, "its outputs are not a single tensor"
            difference = float((plain - folded).abs().max() / plain.abs().max().clamp_min(1e-30))
            if not difference < FOLDING_TOLERANCE:
                return None, f"the folded network's outputs differ by {difference:.1e}"
        return folding, ""


def _working_copies(network: nn.Module, tensors: Weights, dtype: torch.dtype) -> list[Weights]:
    """Return a network's tensors in the precision of a pass: one copy, or several for batches to use in turn."""
    if dtype != torch.bfloat16:
        return [{name: working_copy(t, dtype) for name, t in tensors.items()}]
    floating = {name: t for name, t in tensors.items() if t.is_floating_point()}
    kernels = rounded_kernels({name: floating[name] for name in _convolutions(network) if name in floating})
    common = {name: working_copy(t, dtype) for name, t in (tensors | kernels).items()}
    return [common | biases for biases in rounded_biases({n: t for n, t in floating.items() if t.ndim <= 1})]


def _convolutions(network: nn.Module) -> Iterator[str]:
    """Yield the names of convolutions' weights; of transposed ones an output sees every so many taps, not their sum."""
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
            yield f"{name}.weight" if name else "weight"


def _elsewhere(tensors: Mapping[str, Tensor]) -> Weights:
    """Return other tensors near these, variances still positive: a fresh BatchNorm is nearly the identity."""
    generator = torch.Generator().manual_seed(0)
    moved = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator).to(tensor)
            moved[name] = tensor * (1 + 0.2 * noise) + (0.1 * noise if tensor.ndim <= 1 else 0)
    return moved


class _PerThreadCopies(threading.local):
    """Copies of networks for one thread, since `functional_call` swaps tensors inside the modules."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()

    def of(self, network: nn.Module) -> nn.Module:
        if network not in self._known:
            tensors = [*network.parameters(), *network.buffers()]
            self._known[network] = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})  # shared
        return self._known[network]


_thread_copies = _PerThreadCopies()


def call(network: nn.Module, tensors: Mapping[str, Tensor], inputs: Nested) -> Any:
    """Return the outputs of a network with these parameters and buffers."""
    if in_worker_thread():
        network = _thread_copies.of(network)
    if isinstance(inputs, Mapping):
        return functional_call(network, dict(tensors), (), dict(inputs))
    return functional_call(network, dict(tensors), inputs if isinstance(inputs, tuple) else (inputs,))
