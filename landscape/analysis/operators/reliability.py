"""Warnings of derivatives that are not those of the loss: straight-through estimators, detach, gradient reversal."""

from __future__ import annotations

import warnings
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights, flatten, unflatten
from landscape.analysis.operators.determinism import DeterminismWarning, LossWarning, determinism_warnings
from landscape.analysis.operators.differences import Disagreement, Function, disagreement
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.analysis.operators.sample import few_examples
from landscape.analysis.operators.suspects import suspects
from landscape.errors import LandscapeError

EXAMPLES = 2  # float64 convolutions take some twenty times as long as float32 ones


class DerivativeWarning(LossWarning):
    """Autograd does not return the derivative of the loss."""


_known: WeakKeyDictionary[Objective, dict[tuple[str, bool], tuple[str, ...]]] = WeakKeyDictionary()


def warn_of_unreliable_derivatives(
    objective: Objective, split: str | None = None, *, second: bool = True
) -> tuple[str, ...]:
    """Warn of each reason why derivatives of the loss are unreliable (`LossWarning`), and return the messages."""
    random = determinism_warnings(objective, split)
    deterministic = not any("two passes" in message for message in random)
    wrong = derivative_warnings(objective, split, second=second) if deterministic else ()
    for message in random:
        warnings.warn(message, DeterminismWarning, stacklevel=3)
    for message in wrong:
        warnings.warn(message, DerivativeWarning, stacklevel=3)
    return (*random, *wrong)


def derivative_warnings(objective: Objective, split: str | None = None, *, second: bool = True) -> tuple[str, ...]:
    """Return a warning if derivatives on a few examples are not those of the loss; empty if they are.

    They are compared with difference quotients in float64, or in float32 with a wider tolerance for models that do not
    run in float64 (see `disagreement`). The message names the modules whose own derivatives fail the same test.

    Args:
        objective: loss and weights.
        split: of the data; the first by default.
        second: test products with the Hessian, too, not the gradient alone.
    """
    key = split or objective.splits[0], second
    known = _known.setdefault(objective, {})
    if key not in known:
        known[key] = _tested(objective, split, second)
    return known[key]


def _tested(objective: Objective, split: str | None, second: bool) -> tuple[str, ...]:
    devices = [objective.device] if objective.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        mismatch, few = None, None
        for precision in ("float64", "float32"):
            if precision == "float64" and objective.device.type == "mps":
                continue
            try:
                few = few_examples(objective, precision, split, EXAMPLES, random=False)
                mismatch = _disagreement(few, second)
            except (LandscapeError, RuntimeError, NotImplementedError):
                continue  # it does not run in float64, or lacks second derivatives, which the measurement reports
            break
        if mismatch is None or few is None:
            return ()
        plain = few_examples(objective, few.precision, split, EXAMPLES, fold=False, random=False)
        culprits = suspects(plain, mismatch.order)
    what, verb = ("gradient", "differs") if mismatch.order == 1 else ("second derivatives", "differ")
    return (
        f"autograd's {what} of the loss {verb} from difference quotients by {100 * mismatch.error:.2g} %, suspected: "
        f"{culprits}; straight-through estimators, detach() and gradient reversal do this, and numbers made of such "
        "derivatives do not describe the loss",
    )


def _disagreement(few: Objective, second: bool) -> Disagreement | None:
    def weights(point: Tensor) -> Weights:
        return unflatten(point, few.origin)

    function = Function(
        value=lambda w: few.loss(weights(w)),
        gradient=lambda w: flatten(few.gradient(weights(w))[1]),
        hessian=lambda w: CurvatureOperator(few, "hessian", weights=weights(w)),
    )
    return disagreement(function, few.origin, second=second)
