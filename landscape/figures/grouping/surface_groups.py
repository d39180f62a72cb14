"""Groups of surfaces that are shown on one scale."""

from __future__ import annotations

from collections.abc import Mapping

from landscape.figures.grouping.regions import regions
from landscape.results import Result, SurfaceResult


def group_surfaces(results: Mapping[str, Result]) -> dict[str, dict[str, SurfaceResult]]:
    """Return the surfaces (by result key) that are shown together, by the group's name.

    Those of one name; and those of one checkpoint and plane that differ in the BatchNorm mode, to be compared.
    """
    named: dict[str, dict[str, SurfaceResult]] = {}
    for key, result in results.items():
        if isinstance(result, SurfaceResult):
            named.setdefault(key.rpartition("/")[2], {})[key] = result
    groups: dict[str, dict[str, SurfaceResult]] = {}
    for name, surfaces in named.items():
        shared = next((other for other, group in groups.items() if _other_modes(group, surfaces)), name)
        groups.setdefault(shared, {}).update(surfaces)
    return groups | _in_detail(groups)


def _in_detail(groups: Mapping[str, Mapping[str, SurfaceResult]]) -> dict[str, dict[str, SurfaceResult]]:
    """Return a group for each region that surfaces of a group were measured more finely in."""
    details: dict[str, dict[str, SurfaceResult]] = {}
    for name, group in groups.items():
        for key, surface in group.items():
            for number, region in enumerate(regions(surface), start=1):
                details.setdefault(f"{name}, region {number}", {})[key] = region
    return details


def _other_modes(group: Mapping[str, SurfaceResult], other: Mapping[str, SurfaceResult]) -> bool:
    """Return True if two groups hold the same plane of the same checkpoint in different BatchNorm modes."""
    first, second = ({(key.rpartition("/")[0], _hashes(s)): s for key, s in part.items()} for part in (group, other))
    same = [(first[plane], second[plane]) for plane in first.keys() & second.keys() if plane[1]]
    return any(a.attributes.get("batchnorm") != b.attributes.get("batchnorm") for a, b in same)


def _hashes(surface: SurfaceResult) -> tuple[str, ...]:
    return tuple((surface.attributes.get("directions") or {}).get("hashes") or ())
