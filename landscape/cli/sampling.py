"""One plane or line of a surface command: claimed in the file, prepared, and filled point by point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from landscape.analysis.barrier import barriers
from landscape.analysis.directions import Plane, line_between, random_plane
from landscape.analysis.objective import Objective
from landscape.analysis.provenance import describe
from landscape.analysis.surface import Points, Settings, empty, probe_points, settle, surface
from landscape.cli import console
from landscape.cli.filing import claim, settings_of
from landscape.cli.subjects import Subject
from landscape.errors import LandscapeError
from landscape.results import Floats, Line
from landscape.results import Surface as SurfaceResult
from landscape.store import AnalysisFile, with_attributes

if TYPE_CHECKING:
    from landscape.cli.surface import Surface


class Sampling:
    """A result with all its points measured, once it has been filled; nothing is left to do where it is `finished`."""

    def __init__(
        self, file: AnalysisFile, subjects: Sequence[Subject], options: Surface, alpha: Floats, beta: Floats | None
    ) -> None:
        self._file, self._subjects, self._options, self._alpha, self._beta = file, subjects, options, alpha, beta
        self._label = "..".join(subject.label for subject in subjects)
        mode: Any = options.batchnorm
        if mode == "auto":
            mode = "recalibrated" if options.between else "fixed"
        self._identity = self._settings(mode)
        base = "between" if options.between else "line" if beta is None else "plane"
        kind: type[Line] | type[SurfaceResult] = Line if beta is None else SurfaceResult
        self.key, self._found = claim(file, self._label, base, self._identity, options, kind)
        self.finished = self._found is not None and self._found.complete
        if self.finished:
            console.say(f"{self.key} is already in {file.path} with these settings")
            return
        self.objective: Objective = subjects[0].objective(batchnorm=mode)
        if self.objective.path == "plain":
            console.say(f"{self._label}: BatchNorm is not folded: {self.objective.path_reason}")
        self.plane = self._plane()
        self._check_found()

    def _settings(self, mode: str) -> dict[str, Any]:
        """Return what must be equal for another run to go on with this one."""
        options, alpha, beta = self._options, self._alpha, self._beta
        directions: dict[str, Any] = (
            {"directions": "between", "other": self._subjects[1].sha256}
            if options.between
            else {
                "directions": "random",
                "normalization": options.normalization,
                "one_dimensional": options.one_dimensional,
                "orthogonal": options.orthogonal,
            }
        )
        return settings_of(
            self._subjects[0],
            batchnorm=mode,
            alpha=[len(alpha), alpha[0], alpha[-1]],
            beta=None if beta is None else [len(beta), beta[0], beta[-1]],
            precision=options.precision,
            precision_tolerance=options.precision_tolerance,
            **directions,
        )

    def _plane(self) -> Plane:
        options = self._options
        if options.between:
            return line_between(self.objective, self._subjects[1].state)
        return random_plane(
            self.objective,
            seed=options.seed,
            dimensions=1 if options.line else 2,
            normalization=options.normalization,
            one_dimensional=options.one_dimensional,
            orthogonal=options.orthogonal,
        )

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
        """The precision and batch size of the run that is in the file, if any."""
        if self._found is None:
            return None
        attributes = self._found.attributes
        return Settings(attributes["precision"], attributes["precision_error"], attributes["batch_size"])

    def settle(self, options: Surface) -> Settings:
        """Return the precision and batch size that suit this one alone, as measured at points of its own."""
        return settle(
            self.objective,
            [self.plane],
            probe_points(self._alpha, self._beta),
            precision=options.precision,
            precision_tolerance=options.precision_tolerance,
        )

    @property
    def points(self) -> int:
        """Number of points left to compute."""
        total = len(self._alpha) * (1 if self._beta is None else len(self._beta))
        return total - (0 if self._found is None else int(self._found.computed().sum()))

    @property
    def examples(self) -> int:
        """Examples per point."""
        return sum(batches.examples for batches in self.objective.data.values())

    @property
    def result(self) -> Line | SurfaceResult:
        """The result, once it is there."""
        found = self._file.results[self.key]
        assert isinstance(found, Line | SurfaceResult)
        return found

    def prepare(self, settings: Settings) -> None:
        """Stage what is to be computed, and how, unless an earlier run has put it into the file."""
        references = [subject.reproduce() for subject in self._subjects]
        if self._found is not None:
            console.say(f"{self.key}: going on with {self.points} points left")
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
            "precision": settings.precision,
            "precision_error": settings.precision_error,
            "batch_size": settings.batch_size,
        }
        self._found = empty(self.objective, self._alpha, self._beta, attributes)
        self._file.stage(self.key, self._found)

    def fill(self) -> None:
        """Compute the points that are missing, each kept as soon as it is there, then store the result whole."""
        begun, settings = self._found, self.settings
        assert begun is not None, "prepare() comes first"
        assert settings is not None
        torch.set_num_threads(int(begun.attributes["threads"]))
        self._file.begin(self.key, begun)
        with console.progress(self.key, self.points) as advance:

            def keep(rows: Points) -> None:
                self._file.append(rows)
                advance()

            found = surface(
                self.objective,
                self.plane,
                alpha=self._alpha,
                beta=self._beta,
                settings=settings,
                done=begun.points,
                on_point=keep,
            )
        seconds = found.attributes["seconds"] + float(begun.attributes.get("seconds", 0.0))
        more = {"barrier": barriers(self.objective, self.plane, found)} if self._options.between else {}
        self._file.put(self.key, with_attributes(found, **{**begun.attributes, **more, "seconds": seconds}))
