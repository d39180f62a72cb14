"""`landscape convexity`: |λ_min / λ_max| of the Hessian over a plane, resumable."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from tyro.conf import arg

from landscape.cli.options.analysis import AnalysisOptions, expect, expect_number, grid_size
from landscape.cli.options.grid import GridOptions, stated
from landscape.cli.options.planes import PlaneOptions, check_planes, sampled_line
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.stats import number_format

if TYPE_CHECKING:
    from landscape.analysis.objective.objective import Objective
    from landscape.analysis.planes import Plane
    from landscape.cli.commands.surface import Surface as SurfaceOptions
    from landscape.cli.jobs.plane_specs import Place
    from landscape.results import Floats, SurfaceResult
    from landscape.storage.analysis_file import AnalysisFile

USUAL_PRODUCTS = 17  # at a point, to the default tolerance


@dataclass(frozen=True)
class ConvexityOptions:
    """How well the two eigenvalues are to be known."""

    points: Annotated[str, arg(metavar="N|NxM")] = "21"
    """Points along each axis, odd, so that the centre is one: 21, or 21x11 (x by y)."""
    tolerance: Annotated[float, arg(metavar="X")] = 0.05
    """Bound on the error of both eigenvalues, relative to the one of larger magnitude."""
    quick: bool = False
    """Half the time: a few products from the eigenvectors of the point before, for errors of about 1 %; the proven
    bounds are then wide."""
    max_products: Annotated[int, arg(metavar="N")] = 100
    """Most Hessian-vector products at a point; where they do not suffice, the stated bounds are larger."""


@dataclass(frozen=True)
class Convexity(AnalysisOptions, ConvexityOptions, PlaneOptions, GridOptions):
    """Map |λ_min / λ_max| of the Hessian over a plane, where 0 is convex, with both eigenvalues and their bounds.

    A run that was stopped goes on where it was when the same command is given again.
    """

    def run(self) -> None:
        """Measure, store, and print."""
        from landscape.cli.commands.surface import summary
        from landscape.cli.jobs.loaded_model import load_subjects
        from landscape.cli.jobs.plane_specs import places
        from landscape.cli.jobs.result_names import closing, keep_history, open_file
        from landscape.cli.jobs.second_order import warnings_in_one_line
        from landscape.cli.tables.convexity import print_maps
        from landscape.execution.allocator import tune_allocator

        tune_allocator()
        _check(self)
        subjects = load_subjects(self)
        with open_file(self, subjects) as file, warnings_in_one_line():
            for subject in subjects:
                keep_history(file, subject)
            found = {}
            for place in places(file, cast("SurfaceOptions", self), subjects):  # it asks for what these have in common
                key, surface = compute(file, place, self)
                found[key] = surface
            if self.json:
                console.print_json({key: summary(surface) for key, surface in found.items()})
            else:
                print_maps(found)
            closing(file)


def compute(file: AnalysisFile, place: Place, options: Convexity) -> tuple[str, SurfaceResult]:
    """Return the name and the map of one place, the points that the file lacks computed."""
    from landscape.analysis.surfaces.convexity import convexity
    from landscape.cli.commands.surface import axes
    from landscape.cli.jobs.fingerprint import confirm
    from landscape.cli.jobs.result_names import claim
    from landscape.results import SurfaceResult
    from landscape.storage.analysis_file import with_attributes

    asked = cast("SurfaceOptions", options)
    alpha, beta = axes(asked, grid_size(options.points), is_line=False, extent=place.extent)
    assert beta is not None
    settings = _settings(place, options, alpha, beta)
    key, begun = claim(file, place.label, _name(place.base), settings, place.options, SurfaceResult)
    objective = place.subjects[0].objective(splits=options.splits[:1], batchnorm=place.batchnorm)
    begun = confirm(file, key, begun, objective, place.options)
    if begun is not None and begun.complete:
        console.say(f"{key} is already in {file.path} with these settings")
        return key, begun
    reference = place.subjects[0].reproduce()  # before the long part: its warning may change people's minds
    plane = place.make(objective, None if begun is None else begun.attributes["directions"])
    if begun is None:
        begun = _empty(place, objective, plane, alpha, beta, settings, reference)
    else:
        _check_begun(key, begun, objective, plane)
    left = int((~begun.computed()).sum())
    if len(begun.points):
        console.say(f"{key}: " + (f"going on with {left} points left" if left else "all points are there; finishing"))
    if left:
        _estimate(key, objective, begun, quick=options.quick)
    file.begin(key, begun)
    with console.progress(key, left) as advance:

        def keep(rows: Any) -> None:
            file.append(rows)
            advance()

        found = convexity(
            objective,
            plane,
            alpha=begun.alpha,
            beta=begun.beta,
            tolerance=options.tolerance,
            quick=options.quick,
            max_products=options.max_products,
            seed=options.seed,
            done=begun.points,
            on_point=keep,
        )
    seconds = found.attributes["seconds"] + float(begun.attributes.get("seconds", 0.0))
    complete = with_attributes(found, **{**begun.attributes, "seconds": seconds})
    file.put(key, complete)
    return key, complete


def _check(options: Convexity) -> None:
    """Check what can be checked before anything is read."""
    from landscape.cli.commands.surface import axes

    check_planes(options, len(options.checkpoints))
    if options.between or sampled_line(options):
        raise LandscapeError(
            "a convexity map is of a plane: leave out --line and --between, give --along two directions"
        )
    if options.region is not None:
        raise LandscapeError("--region is for surface; a convexity map has --alpha and --beta for other coordinates")
    axes(cast("SurfaceOptions", options), grid_size(options.points), is_line=False)
    expect(0 < options.tolerance < 1, "--tolerance", options.tolerance, "a relative error such as 0.05")
    expect_number("--max-products", options.max_products, least=2)
    for mode in options.batchnorm.split(","):
        expect(
            mode.strip() in ("auto", "fixed", "recalibrated"),
            "--batchnorm",
            options.batchnorm,
            "fixed or recalibrated, for derivatives",
        )


def _name(base: str) -> str:
    """Return what the map of a place is called: of random directions plainly convexity."""
    return base.replace("plane", "convexity", 1) if base.startswith("plane") else f"convexity-{base}"


def _settings(place: Place, options: Convexity, alpha: Floats, beta: Floats) -> dict[str, Any]:
    """Return what must be equal for another run to go on with this one."""
    from landscape.cli.jobs.result_names import settings_of

    return settings_of(
        place.subjects[0],
        batchnorm=place.batchnorm,
        alpha=stated(alpha, options.alpha, options.axis),
        beta=stated(beta, options.beta, options.axis),
        tolerance=options.tolerance,
        quick=options.quick,
        max_products=options.max_products,
        **place.identity,
    )


def _empty(
    place: Place,
    objective: Objective,
    plane: Plane,
    alpha: Floats,
    beta: Floats,
    settings: Mapping[str, Any],
    reference: Mapping[str, Any] | None,
) -> SurfaceResult:
    """Return the map before its first point: the axes, and where it comes from."""
    from landscape.analysis.objective.provenance import describe
    from landscape.analysis.surfaces.convexity import METRICS
    from landscape.cli.jobs.fingerprint import stamp
    from landscape.results import SurfaceResult, points_table

    split = objective.splits[0]
    attributes = {
        **describe(objective, (split,)),
        **place.subjects[0].attributes(),
        "checkpoint": place.label,
        "checkpoints": [{"label": subject.label, "sha256": subject.sha256} for subject in place.subjects],
        "settings": dict(settings),
        "command": console.recorded_command(),
        "reference": reference,
        "directions": dict(plane.recipe),
        **({"marks": list(plane.marks)} if plane.marks else {}),
        **place.attributes,
        **stamp(objective, place.options),
    }
    return SurfaceResult(alpha, (split,), METRICS, points_table([]), attributes, beta)


def _check_begun(key: str, begun: SurfaceResult, objective: Objective, plane: Plane) -> None:
    """Refuse to go on with a run whose points these would not match; compute in as many threads as it did."""
    import torch

    there = begun.attributes
    if there["directions"]["hashes"] != plane.recipe["hashes"]:
        raise LandscapeError(
            f"{key}: the directions drawn here differ from those in the file (another NumPy or landscape?); "
            "give another --name, or --overwrite it"
        )
    for what, old, new in (
        ("device", there["device"].split()[0], objective.device.type),
        ("code path", there["path"], objective.path),
    ):
        if old != new:
            raise LandscapeError(
                f"{key} was begun with the {what} {old} and this is {new}: its points would not match; "
                "go on with it there, or give another --name"
            )
    torch.set_num_threads(int(there["threads"]))


def _estimate(key: str, objective: Objective, begun: SurfaceResult, *, quick: bool) -> None:
    """Say how long it will take, from the time of one product with its set-up and of one more."""
    import torch

    from landscape.analysis.surfaces.convexity import QUICK_PRODUCTS

    product = objective.product()
    vector = torch.ones(product.size) / product.size**0.5
    product.way  # noqa: B018  # found before the clock runs
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        product(vector)
        seconds.append(time.perf_counter() - started)
    first, more = seconds[0], min(seconds)
    left = ~begun.computed()
    points = int(left.sum())
    full = int(left.any(axis=1).sum()) if quick else points
    counts = f"about {USUAL_PRODUCTS} at each" if not quick else f"about {QUICK_PRODUCTS} at most of them"
    total = points * (first - more) + more * (full * USUAL_PRODUCTS + (points - full) * QUICK_PRODUCTS)
    console.say(
        f"{key}: {points} points x {product.examples} examples, {more:.2g} s a product, {counts}: "
        f"about {number_format.duration(total)}"
    )
