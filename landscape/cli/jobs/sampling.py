"""One plane or line of a surface command: claimed in the file, prepared, and filled point by point."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.provenance import describe
from landscape.analysis.surfaces.levels import check_subsets
from landscape.analysis.surfaces.reliability import surface_warnings
from landscape.analysis.surfaces.surface import Points, Settings, empty, grid_points, probe_points, settle, surface
from landscape.cli.jobs.fingerprint import changed, confirm, stamp
from landscape.cli.jobs.plane_specs import Place, findings
from landscape.cli.jobs.result_names import alike, claim, settings_of
from landscape.cli.jobs.user_code import load_metrics
from landscape.cli.options.grid import region_axes, stated
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.results import Floats, LineResult, Sampled, SurfaceResult
from landscape.storage.analysis_file import AnalysisFile, with_attributes

if TYPE_CHECKING:
    from landscape.cli.commands.surface import Surface


class Sampling:
    """A result with all its points measured, once it has been filled; nothing is left to do where it is `finished`."""

    def __init__(self, file: AnalysisFile, place: Place, alpha: Floats, beta: Floats | None) -> None:
        self._file, self._place, self._alpha, self._beta = file, place, alpha, beta
        self._subjects, self._options, self._label = place.subjects, place.options, place.label
        self._identity = self._settings()
        kind: type[LineResult] | type[SurfaceResult] = LineResult if beta is None else SurfaceResult
        others = list(alike(file, place.label, place.base, self._identity, place.options.name, kind))
        metrics = load_metrics(place.options.metrics)
        objective = place.subjects[0].objective(batchnorm=place.batchnorm, metrics=metrics)
        self._region: tuple[Floats, Floats | None] | None = None
        if place.options.region is not None:
            self._extend(others)
        else:
            self.key, self._found = claim(file, place.label, place.base, self._identity, place.options, kind)
        replaceable = place.options if self._region is None else dataclasses.replace(place.options, overwrite=False)
        begun = confirm(file, self.key, self._found, objective, replaceable)
        assert begun is None or isinstance(begun, LineResult | SurfaceResult)
        self._found = begun
        if self._found is not None:  # to the bit those of its points, also where this version would round differently
            self._alpha, self._beta = self._found.alpha, _beta(self._found)
        self.finished = self._is_finished()
        if self.finished:
            console.say(f"{self.key} is already in {file.path} with these settings")
            for message in self.result.attributes.get("warnings", ()):
                console.warn(f"{self.key}: {message}")
            return
        self.objective: Objective = objective
        self._check_measurable()
        if self.objective.path == "plain":
            console.say(f"{self._label}: BatchNorm is not folded: {self.objective.path_reason}")
        self.plane = place.make(self.objective, None if self._found is None else self._found.attributes["directions"])
        self._check_found()
        self._kin = self._reusable([result for key, result in others if key != self.key])

    def _is_finished(self) -> bool:
        """Return whether the file has all points, and what is derived from them."""
        if self._found is None or not self._found.complete or self.points:
            return False
        if self._region is None or not self._options.tolerance:
            return True
        region = self._region_axes()
        return any(
            region.items() <= known.items() and "tolerance" in known
            for known in self._found.attributes.get("regions", ())
        )

    def _settings(self) -> dict[str, Any]:
        """Return what must be equal for another run to go on with this one."""
        options, alpha, beta = self._options, self._alpha, self._beta
        return settings_of(
            self._subjects[0],
            batchnorm=self._place.batchnorm,
            alpha=stated(alpha, options.alpha, options.axis),
            beta=None if beta is None else stated(beta, options.beta, options.axis),
            precision=options.precision,
            precision_tolerance=options.precision_tolerance,
            **({} if options.metrics is None else {"metrics": [console.shortened(m) for m in options.metrics]}),
            **({"gradient_norm": True} if options.gradient_norm else {}),
            **({"tolerance": options.tolerance} if options.tolerance else {}),
            **self._place.identity,
        )

    def _check_measurable(self) -> None:
        """Refuse what cannot be measured before the file says that it has begun."""
        if self._options.tolerance:
            check_subsets(self.objective)
        if self._options.gradient_norm and self.objective.batchnorm == "batch":
            raise LandscapeError(
                "--gradient-norm is of the loss in evaluation mode; expected --batchnorm fixed or recalibrated with it"
            )

    def _extend(self, others: Sequence[tuple[str, LineResult | SurfaceResult]]) -> None:
        """Find the result that a region is added to, with all points of its axes."""
        finished = [(key, result) for key, result in others if result.computed().all()]
        if not finished:
            raise LandscapeError(
                f"there is no finished result of {self._label} with these settings in {self._file.path} to add a "
                "region to; measure it without --region first"
            )
        self.key, self._found = finished[0]
        self._region = region_axes(self._options, finished[0][1].alpha, _beta(finished[0][1]))

    def _reusable(self, others: Sequence[LineResult | SurfaceResult]) -> LineResult | SurfaceResult | None:
        """Return a result on other axes whose points these would match bit for bit."""
        if self._found is not None or self._options.overwrite:
            return None
        here = {
            "path": self.objective.path,
            "hashes": self.plane.recipe["hashes"],
            "device": self.objective.device.type,
        }
        for other in others:
            there = other.attributes
            device = there["device"].split()[0]
            same = {"path": there["path"], "hashes": there["directions"]["hashes"], "device": device} == here
            if same and changed(other, self.objective, self._options) is None:
                return other
        return None

    def _check_found(self) -> None:
        """Refuse to go on with a run whose points these would not match bit for bit."""
        if self._found is None:
            return
        there, here = self._found.attributes, self.objective
        if there["directions"]["hashes"] != self.plane.recipe["hashes"]:
            raise LandscapeError(
                f"{self.key}: the directions drawn here differ from those in the file (another NumPy or landscape?); "
                "give another --name, or --overwrite it"
            )
        for what, old, new in (
            ("device", there["device"].split()[0], here.device.type),
            ("code path", there["path"], here.path),
        ):
            if old != new:
                raise LandscapeError(
                    f"{self.key} was begun with the {what} {old} and this is {new}: its points would not match; "
                    "go on with it there, or give another --name"
                )

    @property
    def settings(self) -> Settings | None:
        """What the run that is in the file was measured with, or the one whose points are taken over, if any."""
        begun = self._found or self._kin
        if begun is None:
            return None
        there = begun.attributes
        precision, error, size = there["precision"], there["precision_error"], there["batch_size"]
        return Settings(precision, error, size, threads=int(there["threads"]))

    def settle(self, options: Surface) -> Settings:
        """Return the precision and batch size that suit this one alone, as measured at points of its own."""
        return settle(
            self.objective,
            [self.plane],
            probe_points(self._alpha, self._beta),
            precision=options.precision,
            precision_tolerance=options.precision_tolerance,
            known=self._known_precision(),
        )

    def _known_precision(self) -> Precision | None:
        """Return the precision that auto took for another checkpoint's result in the file, of the same settings."""
        same = ("model", "model_args", "data", "splits", "subset", "loss", "params", "batchnorm", "precision")
        for result in self._file.results.values():
            settings = result.attributes.get("settings", {})
            if isinstance(result, Sampled) and all(
                name in settings and settings[name] == console.jsonable(self._identity[name])
                for name in (*same, "precision_tolerance")
            ):
                there = result.attributes
                model = self._subjects[0].attributes()["model"]
                comparable = (there["path"], there["model"]) == (self.objective.path, model)
                if comparable and there["device"].split()[0] == self.objective.device.type:
                    known: Precision = there["precision"]
                    return known
        return None

    @property
    def points(self) -> int:
        """Number of points left to compute."""
        grid = self._region or (self._alpha, self._beta)
        return sum(1 for _ in grid_points(*grid, None if self._found is None else self._found.points))

    @property
    def examples(self) -> int:
        """Examples per point."""
        return sum(batches.examples for batches in self.objective.data.values())

    @property
    def result(self) -> LineResult | SurfaceResult:
        """The result, once it is there."""
        found = self._file.results[self.key]
        assert isinstance(found, LineResult | SurfaceResult)
        return found

    def prepare(self, settings: Settings) -> None:
        """Stage what is to be computed, and how, unless an earlier run has put it into the file."""
        if self._place.batchnorm == "batch":  # there the batch size is part of what is measured: it is not for speed
            settings = dataclasses.replace(settings, batch_size=self.objective.batch_size)
        references = [subject.reproduce() for subject in self._subjects]
        if self._found is not None:
            more = "going on with" if self._region is None else "adding a region:"
            left = f"{more} {self.points} points left" if self.points else "all points are there; deriving the rest"
            console.say(f"{self.key}: {left}")
            return
        attributes = {
            **describe(self.objective, self.objective.splits),
            **self._subjects[0].attributes(),
            "checkpoint": self._label,
            "checkpoints": [{"label": subject.label, "sha256": subject.sha256} for subject in self._subjects],
            "settings": self._identity,
            "command": console.recorded_command(),
            "reference": references[0],
            "directions": dict(self.plane.recipe),
            **({"marks": list(self.plane.marks)} if self.plane.marks else {}),
            **self._place.attributes,
            **stamp(self.objective, self._options),
            "precision": settings.precision,
            "precision_error": settings.precision_error,
            "batch_size": settings.batch_size,
            "threads": settings.threads or max(1, torch.get_num_threads() // self._options.workers),
        }
        cautions = surface_warnings(self.objective, self.plane, self.objective.splits)
        if cautions:  # also while it is unfinished
            attributes["warnings"] = list(cautions)
        begun = empty(self.objective, self._alpha, self._beta, attributes, gradient_norm=self._options.gradient_norm)
        self._found = dataclasses.replace(begun, points=self._taken_over(begun, settings), finished=False)
        self._file.stage(self.key, self._found)

    def _taken_over(self, begun: LineResult | SurfaceResult, settings: Settings) -> Points:
        """Return the points of the result on other axes that lie on these: measured there, they are not again."""
        theirs = self.settings if self._kin is not None else None
        if self._kin is None or theirs is None or begun.attributes["threads"] != theirs.threads:
            return begun.points
        if (theirs.precision, theirs.batch_size) != (settings.precision, settings.batch_size):
            return begun.points
        level = 1 if self._options.tolerance else 0  # what is measured; above it, estimates of that very grid
        rows = self._kin.points[self._kin.points["level"] >= level]
        wanted = set(grid_points(self._alpha, self._beta))
        points = zip(rows["alpha"].tolist(), rows["beta"].tolist(), strict=True)
        rows = rows[[point in wanted for point in points]]
        if len(rows):
            count = len(np.unique(rows[["alpha", "beta"]]))
            console.say(f"{self.key}: {count} points are taken from a result on other axes")
        return rows

    def fill(self) -> None:
        """Compute the points that are missing, each kept as soon as it is there, then store the result whole."""
        begun, settings = self._found, self.settings
        assert begun is not None, "prepare() comes first"
        assert settings is not None
        torch.set_num_threads(int(begun.attributes["threads"]))
        options = self._options
        if self._region is not None:
            begun = with_attributes(begun, regions=self._regions(begun))
        self._file.begin(self.key, begun)
        with console.progress(self.key, None if options.tolerance else self.points) as advance:

            def keep(rows: Points) -> None:
                self._file.append(rows)
                advance()

            found = surface(
                self.objective,
                self.plane,
                alpha=self._alpha,
                beta=self._beta,
                region=self._region,
                seed=options.seed,
                gradient_norm=options.gradient_norm,
                tolerance=options.tolerance,
                workers=options.workers,
                settings=settings,
                done=begun.points,
                on_point=keep,
            )
        seconds = found.attributes["seconds"] + float(begun.attributes.get("seconds", 0.0))
        more = findings(self._place, self.objective, self.plane, found)
        if "warnings" in found.attributes:
            more["warnings"] = found.attributes["warnings"]
        if "tolerance" in found.attributes:
            report = {"tolerance": found.attributes["tolerance"]}
            more |= report if self._region is None else {"regions": self._regions(begun, **report)}
        self._file.put(self.key, with_attributes(found, **{**begun.attributes, **more, "seconds": seconds}))

    def _regions(self, begun: LineResult | SurfaceResult, **report: Any) -> list[dict[str, Any]]:
        """Return what regions the result holds, this one with them, and with what is known of its error."""
        mine = self._region_axes()
        known = begun.attributes.get("regions", ())
        return [*(region for region in known if not mine.items() <= region.items()), {**mine, **report}]

    def _region_axes(self) -> dict[str, list[float]]:
        """Return from where to where the region goes along each axis, and its number of points."""
        assert self._region is not None
        axes = zip(("alpha", "beta"), self._region, strict=True)
        return {name: [float(x[0]), float(x[-1]), len(x)] for name, x in axes if x is not None}


def _beta(result: LineResult | SurfaceResult) -> Floats | None:
    return result.beta if isinstance(result, SurfaceResult) else None
