"""Modules whose derivatives disagree with difference quotients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_unflatten

from landscape.analysis.objective import derivatives
from landscape.analysis.objective.derivatives import BatchLoss
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, flatten, unflatten
from landscape.analysis.operators.differences import Function, disagreement
from landscape.analysis.operators.graphs import Recorded

MAX_NAMED = 3

Call = tuple[tuple[Any, ...], dict[str, Any]]  # positional and keyword arguments


def suspects(objective: Objective, order: int) -> str:
    """Return the innermost modules whose own derivatives of this order disagree with difference quotients, as text.

    Each module is tested by itself, on its inputs in a pass. If all agree, the loss function remains.

    Args:
        objective: on a few examples, without folding.
        order: 1 for gradients, 2 for second derivatives.
    """
    module = objective.network.module
    failing = {name for name, call in _calls(objective).items() if _fails(module.get_submodule(name), call, order)}
    innermost = [name for name in failing if not any(_within(other, name) for other in failing)]
    if not innermost:
        return "the loss function"
    order_of = {name: index for index, (name, _) in enumerate(module.named_modules())}
    named = sorted(innermost, key=order_of.__getitem__)
    texts = [_named(name, module.get_submodule(name)) for name in named[:MAX_NAMED]]
    return ", ".join(texts) + (f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else "")


def _named(name: str, module: nn.Module) -> str:
    return f"{name} ({type(module).__name__})" if name else f"the model's own forward ({type(module).__name__})"


def _within(inner: str, outer: str) -> bool:
    return inner != outer and (outer == "" or inner.startswith(f"{outer}."))


def _calls(objective: Objective) -> dict[str, Call]:
    """Return the arguments of each module's first call in a pass."""
    calls: dict[str, Call] = {}

    def record(name: str, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(name, (args, kwargs))

    named = objective.network.module.named_modules()
    hooks = [part.register_forward_pre_hook(partial(record, name), with_kwargs=True) for name, part in named]
    try:
        point, buffers = objective.network.point(None)
        inputs, _, _ = next(objective.batches())
        with torch.no_grad(), derivatives.twice_differentiable():
            objective.network.outputs(point, buffers, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _fails(module: nn.Module, call: Call, order: int) -> bool:
    leaves, structure = tree_flatten(call)
    indices = {f"input {i}": i for i, leaf in enumerate(leaves) if _is_real(leaf)}
    origin: Weights = {name: leaves[i].detach() for name, i in indices.items()}
    origin |= {name: w.detach() for name, w in module.named_parameters() if _is_real(w)}
    if not origin:
        return False
    generator = torch.Generator().manual_seed(0)
    weights: list[Tensor] = []

    def value(point: Weights) -> Tensor:
        """Return the sum of the outputs with random weights."""
        given = list(leaves)
        for name, i in indices.items():
            given[i] = point[name]
        args, kwargs = tree_unflatten(given, structure)
        tensors = {name: w for name, w in point.items() if name not in indices}
        outputs = list(_real_tensors(functional_call(module, tensors, args, kwargs)))
        if not weights:
            weights.extend(
                torch.randn(z.shape, generator=generator, dtype=torch.float64).to(z.device, z.dtype) for z in outputs
            )
        return torch.stack([(z * c).sum() for z, c in zip(outputs, weights, strict=True)]).sum()

    def hessian(point: Weights) -> Callable[[Tensor], Tensor]:
        graph = Recorded(BatchLoss(lambda w: value(w).reshape(1), lambda z: z), point)
        return lambda v: torch.cat([part.reshape(-1) for part in graph.matvec("hessian", unflatten(v, point))])

    def number(point: Weights) -> float:
        with torch.no_grad():
            return float(value(point))

    function = Function(
        value=lambda w: number(unflatten(w, origin)),
        gradient=lambda w: flatten(derivatives.gradient(value, unflatten(w, origin))[1]),
        hessian=lambda w: hessian(unflatten(w, origin)),
    )
    try:
        with derivatives.twice_differentiable():
            return disagreement(function, origin, second=order > 1) is not None
    except Exception:  # the module does not run by itself, or autograd does not differentiate it
        return False


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _real_tensors(outputs: Any) -> Iterator[Tensor]:
    items = outputs if not isinstance(outputs, Mapping) else dict(outputs)
    yield from (leaf for leaf in tree_flatten(items)[0] if _is_real(leaf))
