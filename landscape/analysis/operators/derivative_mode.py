"""Derivative modes: the order of differentiation in which torch can take a model's second derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch

from landscape.analysis.objective.derivatives import BatchLoss, Mode, Operator, twice_differentiable
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights
from landscape.analysis.operators.graphs import OnceDifferentiableError, make_graph
from landscape.errors import LandscapeError


@dataclass(frozen=True)
class DerivativeMode:
    """Order of differentiation and kernels of second derivatives.

    Attributes:
        order: "reverse over reverse" or "forward over reverse".
        plain_kernels: torch's own kernels for recurrent layers, in place of oneDNN's and cuDNN's.
        reason: the failure of the first mode; empty if that works.
    """

    order: Mode
    plain_kernels: bool = False
    reason: str = ""


DERIVATIVE_MODES = (
    DerivativeMode("reverse over reverse"),
    DerivativeMode("forward over reverse"),
    DerivativeMode("reverse over reverse", plain_kernels=True),
    DerivativeMode("forward over reverse", plain_kernels=True),
)

_modes: WeakKeyDictionary[Objective, dict[str, DerivativeMode]] = WeakKeyDictionary()


def derivative_modes(objective: Objective) -> dict[str, DerivativeMode]:
    """Return the derivative modes that an objective's operators have used so far, by the operator's name."""
    return _modes.setdefault(objective, {})


def choose_mode(batch: BatchLoss, point: Weights, operator: Operator) -> DerivativeMode:
    """Return the first of `DERIVATIVE_MODES` in which a product with a few examples works.

    Args:
        batch: loss of a few examples.
        point: all moving parameters.
        operator: "hessian", "ggn" or "fisher".

    Raises:
        LandscapeError: if no mode works.
    """
    ones = {name: torch.ones_like(w) for name, w in point.items()}
    failures: list[str] = []
    for mode in DERIVATIVE_MODES:
        try:
            with twice_differentiable(plain_kernels=mode.plain_kernels):
                graph = make_graph(mode.order, batch, point, operator)
                graph.check()
                graph.matvec(operator, ones)
        except OnceDifferentiableError as error:
            failures.append(str(error))
            if operator == "hessian":
                break  # forward mode would differentiate that backward, too
        except (NotImplementedError, RuntimeError) as error:
            if "memory" in str(error):
                raise
            failures.append(" ".join(str(error).split(".")[0].split()))
        else:
            return replace(mode, reason=failures[0] if failures else "")
    raise LandscapeError(f"torch cannot take second derivatives of this model: {failures[0]}")
