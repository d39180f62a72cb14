"""The norm of the loss's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from landscape.analysis.objective.weights import norm
from landscape.monitoring.measures.protocol import Probe, Reading


@dataclass(frozen=True)
class GradientNorm:
    """Loss and norm ‖g‖₂ of its gradient, without weight decay, on the monitor's examples: one gradient."""

    name: ClassVar[str] = "gradient_norm"
    needs_previous: ClassVar[bool] = False

    def parameters(self) -> Mapping[str, Any]:
        """Return no options."""
        return {}

    def read(self, probe: Probe, memory: dict[str, Any]) -> Sequence[Reading]:
        """Return the loss of the first split, and ‖g‖₂."""
        loss, gradient = probe.gradient
        return [Reading(f"{probe.objective.splits[0]}_loss", loss), Reading(self.name, norm(gradient))]
