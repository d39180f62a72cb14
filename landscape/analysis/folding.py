"""BatchNorm folded into the layer before it, as a differentiable function of the original parameters.

In evaluation mode, with s = γ / √(σ² + ε): BN(W ∗ x + b) = (s W) ∗ x + (β + s (b − μ)). The folded network has fewer
operations and less rounding; derivatives taken *through* `Folding.fold` are with respect to the original W, b, γ, β.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

_FOLDABLE: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class NotFoldableError(Exception):
    """Why a model takes the plain path; a fact to print once, not an error."""


@dataclass(frozen=True)
class Folding:
    """A traced network without its folded BatchNorms, and the map from the original tensors to its own."""

    network: nn.Module
    pairs: tuple[tuple[str, str, float], ...]  # (layer, BatchNorm, ε)

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
        return folded


def find_folding(model: nn.Module) -> Folding:
    """Return the folding of a model in evaluation mode.

    Raises:
        NotFoldableError: if torch.fx cannot trace the model, or no BatchNorm directly follows a layer of its own.
    """
    try:
        traced = fx.symbolic_trace(copy.deepcopy(model))
    except Exception as error:  # tracing runs the user's forward on proxies: anything can be raised
        raise NotFoldableError(f"torch.fx cannot trace it ({_first_line(error)})") from error
    modules = dict(traced.named_modules())
    uses = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    owners = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))  # tied weights count twice
    pairs = []
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], _NORMS):
            continue
        norm, before = modules[node.target], node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer = modules[str(before.target)]
        original = model.get_submodule(str(before.target))
        tied = any(owners[id(p)] > 1 for p in [*original.parameters(), *model.get_submodule(node.target).parameters()])
        alone = uses[node.target] == 1 and uses[before.target] == 1 and not tied
        if not isinstance(layer, _FOLDABLE) or not alone or norm.running_mean is None:
            continue
        pairs.append((str(before.target), str(node.target), float(norm.eps)))
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros_like(norm.running_mean))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    if not pairs:
        raise NotFoldableError("it has no BatchNorm directly after a convolution")
    traced.delete_all_unused_submodules()
    traced.recompile()
    return Folding(traced.eval(), tuple(pairs))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
