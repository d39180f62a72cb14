"""The evaluation of a plane's points as a task that workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from landscape.analysis.objective.data.nested import map_tensors
from landscape.analysis.objective.packing import PackedObjective, pack_objective
from landscape.analysis.planes import Plane
from landscape.analysis.surfaces.grids.grid import Points, Request
from landscape.analysis.surfaces.levels import Levels
from landscape.analysis.surfaces.measuring import Measurer


@dataclass(frozen=True, eq=False)
class SurfaceTask:
    """Points of a plane as requests, and the rows of each as its result.

    A worker makes the objective anew and computes with a stated number of threads, so that its values are those of a
    single process with as many.
    """

    measurer: Measurer
    threads: int

    @property
    def device(self) -> str:
        """Device of the objective."""
        return str(self.measurer.objective.device)

    def __call__(self, requests: Iterable[Request]) -> Iterator[Points]:
        """Yield each request's rows in order."""
        return self.measurer(requests)

    def portable(self) -> PortableMeasurer:
        """Return the measurer's parts."""
        measurer, levels = self.measurer, self.measurer.levels
        return PortableMeasurer(
            pack_objective(measurer.objective),
            move_plane(measurer.plane, torch.device("cpu")),
            {name: getattr(measurer, name) for name in ("splits", "settings", "gradient_norm")},
            None if levels is None else {"scheme": levels.scheme, "seed": levels.seed},
        )


@dataclass(frozen=True)
class PortableMeasurer:
    """Parts of a measurer, on the CPU."""

    objective: PackedObjective
    plane: Plane
    measurer: Mapping[str, Any]
    levels: Mapping[str, Any] | None

    def assemble(self, device: str) -> Callable[[Iterable[Request]], Iterator[Points]]:
        """Return the measurer on a device."""
        objective = self.objective.unpack(device)
        levels = None if self.levels is None else Levels(objective, **self.levels)
        return Measurer(objective, move_plane(self.plane, objective.device), **self.measurer, levels=levels)


def move_plane(plane: Plane, device: torch.device) -> Plane:
    """Return a plane with its tensors on a device."""
    names = ("origin", "directions", "endpoint_buffers")
    return replace(plane, **{name: map_tensors(lambda t: t.to(device), getattr(plane, name)) for name in names})
