"""Lines and surfaces that are measured point by point: conditions to resume them, and their regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import code_path
from landscape.analysis.planes import Plane
from landscape.errors import LandscapeError
from landscape.results import Floats, LineResult, Result, SurfaceResult
from landscape.workflow.measurement import Run
from landscape.workflow.names import difference

SampledResult: TypeAlias = LineResult | SurfaceResult


def check_resumable(stored: Result, objective: Objective, plane: Plane) -> None:
    """Check that further points would match those of a stored result bit for bit.

    Raises:
        LandscapeError: for other directions, another device, or another code path.
    """
    recorded = stored.attributes
    if recorded["directions"]["hashes"] != plane.provenance["hashes"]:
        raise LandscapeError(
            "the directions drawn here differ from those in the file (another NumPy or landscape?); "
            "choose another name, or overwrite the result"
        )
    for what, old, new in (
        ("device", recorded["device"].split()[0], objective.device.type),
        ("code path", recorded["path"], code_path(objective)),
    ):
        if old != new:
            raise LandscapeError(
                f"the result was begun with the {what} {old} and this is {new}: its points would not match; "
                "resume it there, or choose another name"
            )


def on_other_axes(
    run: Run[SampledResult], others: Mapping[str, Result], kind: type[SampledResult], plane: Plane
) -> SampledResult | None:
    """Return the first result that differs from a measurement in its axes only: its points are the same to the bit."""
    for other in others.values():
        if not isinstance(other, LineResult | SurfaceResult) or "directions" not in other.attributes:
            continue
        stored = other.attributes
        if (
            difference(other, run.identity, kind, but=("alpha", "beta")) is None
            and stored["directions"]["hashes"] == plane.provenance["hashes"]
            and stored["path"] == code_path(run.objective)
            and stored["device"].split()[0] == run.objective.device.type
        ):
            return other
    return None


def beta_of(result: SampledResult) -> Floats | None:
    """Return the coordinates along the second direction; None for a line."""
    return result.beta if isinstance(result, SurfaceResult) else None


def region_attributes(
    attributes: Mapping[str, Any], region: tuple[Floats, Floats | None] | None, **report: Any
) -> dict[str, Any]:
    """Return the attribute that lists the regions of a result, with a report of the error of this one."""
    if region is None:
        return {}
    new = region_ends(region)
    known = attributes.get("regions", ())
    return {"regions": [*(each for each in known if not new.items() <= each.items()), {**new, **report}]}


def region_ends(region: tuple[Floats, Floats | None]) -> dict[str, list[float]]:
    """Return the ends and the number of points of a region along each axis."""
    axes = zip(("alpha", "beta"), region, strict=True)
    return {name: [float(x[0]), float(x[-1]), len(x)] for name, x in axes if x is not None}
