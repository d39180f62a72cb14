"""Random directions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.planes.normalization import Normalization, OneDimensional
from landscape.results import LineResult
from landscape.stats.basin_width import basin_width
from landscape.workflow.planes.spec import PlaneSpec, seed_identity, seed_suffix


@dataclass(frozen=True)
class RandomPlane(PlaneSpec):
    """One or two random directions, normalized to the weights (Li et al. 2018, arXiv:1712.09913).

    >>> import landscape
    >>> landscape.Surface(plane=landscape.RandomPlane(line=True)).name
    'line'

    Args:
        seed: of the directions.
        line: one direction instead of two.
        normalization: "filter", "layer", "weight" or "none".
        one_dimensional: treatment of biases and norm parameters: "zero", "scaled" or "li-code".
        orthogonal: make the second direction orthogonal to the first.
        rises: rises of the loss at which the basin's width is read off a line.
        family: name that results over several seeds have in common; None for a single one.
    """

    seed: int = 0
    line: bool = False
    normalization: Normalization = "filter"
    one_dimensional: OneDimensional = "zero"
    orthogonal: bool = False
    rises: tuple[float, ...] = (0.1, 1.0)
    family: str | None = None

    @property
    def name(self) -> str:
        """`line` or `plane`, with the seed if there are several."""
        return ("line" if self.line else "plane") + seed_suffix(self.seed, self.family)

    @property
    def is_line(self) -> bool:
        """True for one direction."""
        return self.line

    def identity(self) -> dict[str, Any]:
        """Return the normalization, with the seed if it is not the measurement's."""
        return {
            "directions": "random",
            "normalization": self.normalization,
            "one_dimensional": self.one_dimensional,
            "orthogonal": self.orthogonal,
            **seed_identity(self.seed, self.family),
        }

    def attributes(self) -> dict[str, Any]:
        """Return the family."""
        return {} if self.family is None else {"family": self.family}

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the plane of this seed."""
        return random_plane(
            objective,
            seed=self.seed,
            dimensions=1 if self.line else 2,
            normalization=self.normalization,
            one_dimensional=self.one_dimensional,
            orthogonal=self.orthogonal,
        )

    def read_off(self, objective: Objective, plane: Plane, line: LineResult) -> dict[str, Any]:
        """Return the basin's width, if the loss at the centre is measured and finite."""
        centre = dict(zip(line.alpha.tolist(), line.grid("loss")[0].tolist(), strict=True)).get(0.0, math.nan)
        return {"width": basin_width(line, rises=self.rises)} if math.isfinite(centre) else {}
