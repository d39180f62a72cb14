"""Lines and surfaces that are filled point by point: what a resumed run must have in common, and their regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import code_path
from landscape.analysis.planes import Plane
from landscape.errors import LandscapeError
from landscape.results import Floats, LineResult, Result, SurfaceResult

SampledResult: TypeAlias = LineResult | SurfaceResult


def check_resumable(found: Result, objective: Objective, plane: Plane) -> None:
    """Refuse to resume a run whose points the new ones would not match bit for bit.

    Raises:
        LandscapeError: for other directions, another device, or another code path.
    """
    stored = found.attributes
    if stored["directions"]["hashes"] != plane.provenance["hashes"]:
        raise LandscapeError(
            "the directions drawn here differ from those in the file (another NumPy or landscape?); "
            "choose another name, or overwrite the result"
        )
    for what, old, new in (
        ("device", stored["device"].split()[0], objective.device.type),
        ("code path", stored["path"], code_path(objective)),
    ):
        if old != new:
            raise LandscapeError(
                f"the result was begun with the {what} {old} and this is {new}: its points would not match; "
                "resume it there, or choose another name"
            )


def beta_of(result: SampledResult) -> Floats | None:
    """Return the coordinates along the second direction; None for a line."""
    return result.beta if isinstance(result, SurfaceResult) else None


def region_attributes(
    attributes: Mapping[str, Any], region: tuple[Floats, Floats | None] | None, **report: Any
) -> dict[str, Any]:
    """Return the attribute that lists the regions of a result, this one with what is known of its error."""
    if region is None:
        return {}
    new = region_ends(region)
    known = attributes.get("regions", ())
    return {"regions": [*(each for each in known if not new.items() <= each.items()), {**new, **report}]}


def region_ends(region: tuple[Floats, Floats | None]) -> dict[str, list[float]]:
    """Return the ends and the number of points of a region along each axis."""
    axes = zip(("alpha", "beta"), region, strict=True)
    return {name: [float(x[0]), float(x[-1]), len(x)] for name, x in axes if x is not None}
