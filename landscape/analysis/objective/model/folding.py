"""BatchNorm folded into the layer before it, as a differentiable function of the original parameters.

In evaluation mode, with s = γ / √(σ² + ε): BN(W ∗ x + b) = (s W) ∗ x + (β + s (b − μ)). The folded network has fewer
operations and less rounding; derivatives taken *through* `Folding.fold` are with respect to the original W, b, γ, β.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from landscape.analysis.objective.model.model_copy import deep_copy

_FOLDABLE: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_PURE = ("torch", "operator", "_operator", "builtins", "math")  # packages whose functions keep nothing to themselves


class NotFoldableError(Exception):
    """Reason that a model is not folded; a fact to print once, not an error."""


@dataclass(frozen=True)
class Folding:
    """A traced network without its folded BatchNorms, and the map from the original tensors to those of the network."""

    network: nn.Module
    pairs: tuple[tuple[str, str, float], ...]  # (layer, BatchNorm, ε)
    sources: Mapping[str, str]  # its tensors' names → the original's; modules the forward pass never uses are absent

    @cached_property
    def is_pure(self) -> bool:
        """True if the network is a graph of torch's own modules and functions, without hooks.

        A graph that reads a buffer by itself, not within a module, may as well write to it: all threads would share it.
        """
        parts = [module for module in self.network.modules() if module is not self.network]
        known = all(type(module).__module__.startswith("torch.nn.") for module in parts)
        hooked = any(module._forward_hooks or module._forward_pre_hooks for module in parts)
        graph = self.network.graph
        assert isinstance(graph, fx.Graph)
        called = (node.target for node in graph.nodes if node.op == "call_function")
        read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
        shares_buffers = not read.isdisjoint(name for name, _ in self.network.named_buffers())
        return known and not hooked and not shares_buffers and all(_root(function) in _PURE for function in called)

    def fold(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the folded network's tensors from the original parameters and buffers (a differentiable map)."""
        folded = dict(tensors)
        for layer, bn, eps in self.pairs:
            mean, variance = folded.pop(f"{bn}.running_mean"), folded.pop(f"{bn}.running_var")
            scale = torch.rsqrt(variance + eps)
            if f"{bn}.weight" in folded:
                scale = scale * folded.pop(f"{bn}.weight")
            folded.pop(f"{bn}.num_batches_tracked", None)
            weight = folded[f"{layer}.weight"]
            bias = folded.get(f"{layer}.bias")
            shift = -mean if bias is None else bias - mean
            shift = shift * scale
            if f"{bn}.bias" in folded:
                shift = shift + folded.pop(f"{bn}.bias")
            folded[f"{layer}.weight"] = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            folded[f"{layer}.bias"] = shift
        return {name: folded[source] for name, source in self.sources.items()}


def find_folding(model: nn.Module) -> Folding:
    """Return the folding of a model in evaluation mode.

    Raises:
        NotFoldableError: if torch.fx cannot trace the model, or no BatchNorm directly follows a layer of its own.
    """
    try:
        traced = fx.symbolic_trace(deep_copy(model))
    except Exception as error:  # tracing runs the user's forward on proxies: anything can be raised
        raise NotFoldableError(f"torch.fx cannot trace it ({_first_line(error)})") from error
    modules = dict(traced.named_modules())
    uses = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    owners = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))  # tied weights count twice
    pairs = []
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or type(modules[node.target]) not in _NORMS:
            continue
        norm, before = modules[node.target], node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer = modules[str(before.target)]
        original = model.get_submodule(str(before.target))
        tied = any(owners[id(p)] > 1 for p in [*original.parameters(), *model.get_submodule(node.target).parameters()])
        alone = uses[node.target] == 1 and uses[before.target] == 1 and not tied
        if not (alone and _is_plain(layer, _FOLDABLE) and _is_plain(norm, _NORMS) and norm.running_mean is not None):
            continue
        pairs.append((str(before.target), str(node.target), float(norm.eps)))
        if layer._parameters["bias"] is None:
            layer.register_parameter("bias", nn.Parameter(torch.zeros_like(norm.running_mean)))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    if not pairs:
        raise NotFoldableError("it has no BatchNorm directly after a convolution")
    traced.delete_all_unused_submodules()
    traced.recompile()
    return Folding(traced.eval(), tuple(pairs), _sources(model, traced, {f"{layer}.bias" for layer, _, _ in pairs}))


def _root(function: Any) -> str:
    """Return the top-level package of a function."""
    return (getattr(function, "__module__", None) or "builtins").partition(".")[0]


def _is_plain(module: nn.Module, types: tuple[type[nn.Module], ...]) -> bool:
    """Return True if a module computes what its type says: no parametrization of its weight, no hooks."""
    hooked = module._forward_hooks or module._forward_pre_hooks
    return type(module) in types and "weight" in module._parameters and not hooked


def _sources(model: nn.Module, traced: nn.Module, made: set[str]) -> dict[str, str]:
    """Return the name in the original model of each tensor of the traced one (tied tensors go by their first name)."""
    first: dict[int, str] = {}
    original = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    names = {name: first.setdefault(id(tensor), name) for name, tensor in original}
    kept = [name for name, _ in [*traced.named_parameters(), *traced.named_buffers()]]
    return {name: name if name in made else names[name] for name in kept if name in made or name in names}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
