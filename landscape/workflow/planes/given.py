"""A plane that a Python program has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landscape.analysis.objective.objective import Objective
from landscape.analysis.planes import Extent, Plane
from landscape.workflow.planes.spec import PlaneSpec


@dataclass(frozen=True)
class GivenPlane(PlaneSpec):
    """A plane or line made by `landscape.random_plane`, `landscape.plane_along` and the like.

    Args:
        plane: through the weights of the objective that is measured.
    """

    plane: Plane = field(repr=False)

    @property
    def name(self) -> str:
        """`line` or `plane`."""
        return "line" if self.is_line else "plane"

    @property
    def is_line(self) -> bool:
        """True for one direction."""
        return self.plane.is_line

    @property
    def extent(self) -> Extent | None:
        """The plane's own."""
        return self.plane.extent

    def identity(self) -> dict[str, Any]:
        """Return the kind and the hashes of the directions."""
        return {
            "directions": self.plane.provenance.get("kind", "given"),
            "hashes": list(self.plane.provenance["hashes"]),
        }

    def make(self, objective: Objective, provenance: Mapping[str, Any] | None) -> Plane:
        """Return the plane."""
        return self.plane
