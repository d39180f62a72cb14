"""Curvature products of one batch's loss with its graph kept: the network is run once, for any number of products.

With the graph of the gradient at hand, a product costs 6 convolutions for each of the network's; from scratch, 9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp
from torch.utils._pytree import tree_flatten, tree_unflatten

from landscape.analysis.objective.derivatives import BatchLoss, Mode, Operator
from landscape.analysis.objective.weights import Weights
from landscape.analysis.operators.convolution import FastConvolutions, only_slopes

Tensors: TypeAlias = Sequence[Tensor]

END_OF_GRAPH = "torch::autograd::Error"  # the node that torch puts behind a backward marked once_differentiable


class Graph(Protocol):
    """Products with the curvature of one batch's summed loss at one point."""

    def matvec(self, operator: Operator, vector: Mapping[str, Tensor]) -> Tensors:
        """Return A v for the batch's sum, one tensor per parameter; zeros for those the loss does not depend on."""

    def check(self) -> None:
        """Raise `OnceDifferentiableError` if products would silently lack a term."""


class OnceDifferentiableError(NotImplementedError):
    """A function of the model or of the loss forbids second derivatives."""


class Recorded:
    """The graph of the gradient, kept; products by reverse over reverse.

    With outputs z, slopes s = ∂loss/∂z and gradient g = Jᵀ s:

    - Hessian: the derivative of ⟨g, v⟩ by the parameters (Pearlmutter 1994).
    - GGN Jᵀ (∂²loss/∂z²) J (Schraudolph 2002, eq. 10): g is linear in s, so the derivative of ⟨g, v⟩ by s is J v.
    - Fisher Σ gᵢ gᵢᵀ over the examples (empirical, with the true labels): the same with z the losses and ∂²loss = I.
    """

    def __init__(self, batch: BatchLoss, point: Weights, *, fisher: bool = False) -> None:
        self._leaves = [w.detach().requires_grad_() for w in point.values()]
        self._names = tuple(point)
        with torch.enable_grad(), FastConvolutions():
            outputs = batch.outputs(dict(zip(point, self._leaves, strict=True)))
            if fisher:
                outputs = batch.values(outputs)
            leaves, structure = tree_flatten(outputs)
            # Views, so that the loss depends on each output by itself, also where one is made of another.
            leaves = [leaf.view_as(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            self._outputs = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
            if fisher:
                self._slopes: Tensors = [torch.ones_like(output).requires_grad_() for output in self._outputs]
            elif self._outputs:
                loss = batch.values(tree_unflatten(leaves, structure)).sum()
                one = torch.ones_like(loss).requires_grad_()  # else `check` misses functions that the loss ends with
                self._slopes = torch.autograd.grad(loss, self._outputs, one, create_graph=True, materialize_grads=True)
            else:
                self._slopes = []
            self._gradient: Tensors = []
            if self._outputs:
                self._gradient = torch.autograd.grad(
                    self._outputs, self._leaves, self._slopes, create_graph=True, materialize_grads=True
                )

    def check(self) -> None:
        """Raise if products would silently lack a term.

        Behind a backward marked `once_differentiable` torch ends the graph of the gradient, which then looks as if it
        depended on nothing: that cuts off J v by double reverse mode as well as the second derivative.

        Raises:
            OnceDifferentiableError: if there is such an end.
        """
        if END_OF_GRAPH in _node_names(self._gradient):
            raise OnceDifferentiableError("a function in it is marked once_differentiable")

    def matvec(self, operator: Operator, vector: Mapping[str, Tensor]) -> Tensors:
        """Return A v for the batch's sum."""
        along = [vector[name] for name in self._names]
        if operator == "hessian":
            return _pulled(self._gradient, self._leaves, along)
        moved = [slope for slope in self._slopes if slope.requires_grad]  # the loss is linear in the other outputs
        if not moved:
            return [torch.zeros_like(leaf) for leaf in self._leaves]
        with only_slopes():
            tangents = _pulled(self._gradient, moved, along)
        curved = tangents if operator == "fisher" else _pulled(moved, self._outputs, tangents)
        return _pulled(self._outputs, self._leaves, curved)


class Fresh:
    """Products by forward over reverse, from scratch each time: where an operator has no second reverse mode."""

    def __init__(self, batch: BatchLoss, point: Weights) -> None:
        self._batch, self._point = batch, point

    def check(self) -> None:
        """Do nothing: torch's forward mode refuses what it cannot do."""

    def matvec(self, operator: Operator, vector: Mapping[str, Tensor]) -> Tensors:
        """Return A v for the batch's sum."""
        batch, point = self._batch, self._point
        along = {name: vector[name] for name in point}

        def values(weights: Weights) -> Tensor:
            return batch.values(batch.outputs(weights))

        def total(weights: Weights) -> Tensor:
            return values(weights).sum()

        def outer(outputs: Any) -> Tensor:
            return batch.values(outputs).sum()

        if operator == "hessian":
            product = jvp(grad(total), (point,), (along,))[1]
            return [cast(Weights, product)[name] for name in point]
        network: Callable[[Weights], Any] = values if operator == "fisher" else batch.outputs
        outputs, curved = cast(tuple[Any, Any], jvp(network, (point,), (along,)))
        if operator == "ggn":
            curved = cast(tuple[Any, Any], jvp(grad(outer), (outputs,), (curved,)))[1]
        product = cast(Weights, cast(tuple[Any, Any], vjp(network, point))[1](curved)[0])
        return [product[name] for name in point]


def make_graph(mode: Mode, batch: BatchLoss, point: Weights, operator: Operator) -> Graph:
    """Return the batch's graph for products in this mode."""
    if mode == "forward over reverse":
        return Fresh(batch, point)
    return Recorded(batch, point, fisher=operator == "fisher")


def graph_bytes(make: Callable[[], object]) -> int:
    """Return the memory in bytes of the graph that `make` records, each tensor counted once."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # not itself, which would hold itself in memory

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        graph = make()
    del graph
    return sum(sizes.values())


def _node_names(values: Tensors) -> set[str]:
    """Return the names of all functions in the graph of some tensors."""
    names: set[str] = set()
    known: set[Any] = set()
    ahead: list[Any] = [value.grad_fn for value in values]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in known:
            known.add(node)
            names.add(node.name())
            ahead.extend(following for following, _ in node.next_functions)
    return names


def _pulled(values: Tensors, inputs: Tensors, along: Tensors) -> Tensors:
    """Return the gradient of Σ ⟨value, along⟩ by the inputs; zeros where the values do not depend on them."""
    pairs = [(value, a.to(value.dtype)) for value, a in zip(values, along, strict=bool(values)) if value.requires_grad]
    if not pairs:
        return [torch.zeros_like(x) for x in inputs]
    return torch.autograd.grad(
        [value for value, _ in pairs],
        list(inputs),
        [a for _, a in pairs],
        retain_graph=True,
        materialize_grads=True,
    )
