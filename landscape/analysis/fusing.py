"""Convolutions that add and rectify as they write their output: one pass over memory instead of three, for values only.

oneDNN's kernels for CPUs, which torch's own compiler uses. They have no derivatives.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

_RECTIFY = (F.relu, torch.relu, torch.relu_)
_ADD = (operator.add, torch.add)


class _Rectified(nn.Module):
    """relu(w ∗ x + b)."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.settings = list(_sizes(layer.padding)), list(layer.stride), list(layer.dilation), layer.groups

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.settings, "relu", [], ""
        )
        return found


class _AddedAndRectified(_Rectified):
    """relu(w ∗ x + b + other)."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        padding, stride, dilation, groups = self.settings
        if groups > 1 or not all(t.is_contiguous(memory_format=torch.channels_last) for t in (x, other)):
            whole = torch.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups) + other
            return torch.relu_(whole)  # the kernel would do the same, and has no bfloat16 for it
        found: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self.weight, self.bias, *self.settings, "add", None, "relu", [], None
        )
        return found


def fused(network: nn.Module) -> nn.Module | None:
    """Return a traced network whose convolutions rectify what they write, its tensors named as before.

    None where there is nothing to fuse, or this torch lacks the kernels. That shapes fit (an addition may broadcast)
    is only known once the network has run.
    """
    if not isinstance(network, fx.GraphModule) or not _available():
        return None
    traced = copy.deepcopy(network)
    modules = dict(traced.named_modules())
    uses = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")

    def layer(node: Any) -> nn.Conv2d | None:
        """Return the convolution that a node is the only call of, if nothing but what comes next needs its output."""
        if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.users) != 1 or uses[node.target] != 1:
            return None
        module = modules[str(node.target)]
        plain = type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return module if plain and not (module._forward_hooks or module._forward_pre_hooks) else None

    found = 0
    for node in list(traced.graph.nodes):
        if not _rectifies(node, modules):
            continue
        before = node.args[0]
        conv = layer(before)
        if conv is not None:
            _replace(traced, before, _Rectified(conv))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
        else:
            pair = _summands(before)
            source = next((summand for summand in pair if layer(summand) is not None), None)
            if source is None:
                continue
            other = pair[0] if source is pair[1] else pair[1]
            conv = layer(source)
            assert conv is not None
            _replace(traced, source, _AddedAndRectified(conv))
            with traced.graph.inserting_before(node):
                whole = traced.graph.call_module(str(source.target), (source.args[0], other))
            node.replace_all_uses_with(whole)
            for gone in (node, before, source):
                traced.graph.erase_node(gone)
        found += 1
    if not found:
        return None
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def _available() -> bool:
    has_kernel = hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    return bool(torch.backends.mkldnn.is_available()) and has_kernel  # type: ignore[no-untyped-call]


def _rectifies(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if len(node.args) != 1:
        return False
    if node.op == "call_module":
        return type(modules[str(node.target)]) is nn.ReLU
    if node.op == "call_function":
        return node.target in _RECTIFY
    return node.op == "call_method" and node.target in ("relu", "relu_")


def _summands(node: Any) -> tuple[Any, ...]:
    """Return the two nodes whose sum a node is, if nothing but what comes next needs it.

    Not a sum written into one of them: that may be needed again.
    """
    if not isinstance(node, fx.Node) or len(node.users) != 1 or len(node.args) != 2 or node.kwargs:
        return ()
    adds = node.target in _ADD if node.op == "call_function" else (node.op, node.target) == ("call_method", "add")
    return node.args if adds and all(isinstance(summand, fx.Node) for summand in node.args) else ()


def _replace(traced: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    parent, _, leaf = str(node.target).rpartition(".")
    setattr(traced.get_submodule(parent), leaf, module)


def _sizes(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str)
    return padding
