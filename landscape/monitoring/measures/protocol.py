"""The protocol of a monitor's measure: a new one is one class, here or in a user's own code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.weights import Weights


@dataclass(frozen=True)
class Reading:
    """One number of a measure at one step.

    >>> Reading("gradient_norm", 0.5, error=0.01, error_kind="standard error").value
    0.5
    """

    quantity: str  # name of its curve
    value: float
    error: float = math.nan
    error_kind: str = ""  # "bound" or "standard error"
    warning: str = ""  # one sentence if something is wrong; reported and stored once


@dataclass(frozen=True)
class Probe:
    """A training run at one step, as measures see it. They change nothing in it.

    Attributes:
        step: number of the step that was just taken.
        objective: loss on the monitor's examples, at the current weights and buffers, in evaluation mode.
        previous: the same before that step; None if no measure needs it, and at the first call.
        model: as the loop trains it, without wrappers.
        optimizer: of the loop.
        learning_rate: step size of the first parameter group in that step.
        seed: of random draws.
    """

    step: int
    objective: Objective
    previous: Objective | None
    model: nn.Module
    optimizer: Optimizer
    learning_rate: float
    seed: int = 0

    @cached_property
    def gradient(self) -> tuple[float, Weights]:
        """Mean loss on the first split, and its gradient: computed once for all measures."""
        return self.objective.gradient()


class MonitorMeasure(Protocol):
    """Quantities to measure at a step of a training run; a frozen dataclass of options."""

    @property
    def name(self) -> str:
        """Short name, such as "lambda_max"."""

    @property
    def needs_previous(self) -> bool:
        """True if it needs the weights before the step, which costs the monitor a copy of them."""

    def parameters(self) -> Mapping[str, Any]:
        """Return the options that repeat the measure, JSON-able."""

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return the quantities at this step.

        Args:
            probe: the run.
            memory: of this measure alone, kept from probe to probe: vectors and guesses to start from. Empty at first,
                and after a run is resumed.
        """
