"""`landscape export`: results as images, tables, arrays, and meshes for other programs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from tyro.conf import Positional, arg

from landscape.cli.options.analysis import Names, OptionalCount, OptionalNumber, default, expect, expect_number
from landscape.cli.terminal import console
from landscape.errors import LandscapeError
from landscape.storage.user_path import user_path

if TYPE_CHECKING:
    from landscape.results import Result

IMAGES = ("png", "svg", "pdf")
MESHES = ("vtk", "stl", "glb")
FORMATS = (*IMAGES, "csv", "npz", *MESHES)
VIEWS = ("3d", "wireframe", "contour", "overlay")


@dataclass(frozen=True)
class ContentOptions:
    """Results, formats and values."""

    format: Annotated[Names, arg(metavar="png|svg|pdf|csv|npz|vtk|stl|glb")] = ("png",)
    """Formats to write, separated by commas."""
    name: Annotated[Names, default("everything in the file")] = ()
    """Results to export: names such as plane or adam/plane; * stands for anything."""
    out: Annotated[str | None, default("exports/<name of the file>", "DIR")] = None
    """Folder to write to; files of the same names are replaced."""
    metric: Annotated[str | None, default("all, of surfaces the first", "NAME")] = None
    """Metric to show: loss, accuracy, error, ..."""
    split: Annotated[str | None, default("all, of surfaces the first", "NAME")] = None
    """Split of the data that surfaces show, or gap for test minus train."""
    log: Annotated[Literal["auto", "yes", "no"], arg(metavar="auto|yes|no")] = "auto"
    """Logarithmic heights; auto if the values span a factor of 30 or more."""
    clip: Annotated[OptionalNumber, default("chosen so that the basin shows")] = None
    """Largest value of surfaces shown; higher ones are drawn level with it, with a note."""


@dataclass(frozen=True)
class DrawingOptions:
    """Look of images."""

    separate: bool = False
    """One image for each result, instead of one for each name that compares its checkpoints."""
    view: Annotated[Names, arg(metavar="3d|wireframe|contour|overlay")] = ("3d", "contour")
    """Images of surfaces: in 3-D, filled or as a wireframe, as filled contours, or all in one scene."""
    x: Literal["epoch", "gradient_evaluations", "seconds"] = "epoch"
    """Horizontal axis of training curves."""
    width: Annotated[OptionalCount, default("chosen by the content", "PX")] = None
    """Width of images in CSS pixels, 1/96 inch; narrow ones have their panels one below the other."""
    height: Annotated[OptionalCount, default("chosen by the content", "PX")] = None
    """Height of images."""
    scale: Annotated[float, arg(metavar="X")] = 2.0
    """Pixels of a png for each CSS pixel; 3.125 gives 300 to the inch."""
    font: Annotated[str | None, default("the system's", "NAME")] = None
    """Font of images, such as "Times New Roman"."""
    font_size: Annotated[float, arg(metavar="PX")] = 13.0
    """Size of text in CSS pixels."""
    dark: bool = False
    """Dark background."""
    labels: Annotated[Names, default("the parts in which the file's checkpoints differ")] = ()
    """Names of the checkpoints in images, in their order in the file."""
    title: Annotated[str | None, default("none", "TEXT")] = None
    """Title of images."""


@dataclass(frozen=True)
class MeshOptions:
    """Size of meshes."""

    relief: Annotated[float, arg(metavar="X")] = 0.5
    """Height of vtk, stl and glb, as a share of the surface's longer side."""
    size: Annotated[float, arg(metavar="MM")] = 100.0
    """Length of the longer side of an stl."""


@dataclass(frozen=True)
class ExportCommand(MeshOptions, DrawingOptions, ContentOptions):
    """Write results as images, tables, arrays, grids for ParaView, solids for printers or meshes for slides."""

    files: Positional[
        Annotated[tuple[str, ...], default("the latest in results/, figures/, demo/ or .", "[FILE ...]")]
    ] = ()
    """Analysis files (.h5)."""

    def run(self) -> None:
        """Write the files."""
        from landscape.cli.commands.report import latest, merged

        self._check()
        paths = [user_path(name) for name in self.files] or [latest()]
        results = chosen(merged(paths), self.name)
        folder = user_path(self.out) if self.out is not None else Path("exports") / paths[0].stem
        written: list[Path] = []
        for form in self.format:
            if form in IMAGES:
                written += self._write_images(results, folder, form)
            else:
                write = self._write_meshes if form in MESHES else self._write_tables
                written += write(results, folder, form)
        console.say(f"wrote {len(written)} file{'s' * (len(written) != 1)} to {folder}")

    def _check(self) -> None:
        asked = dict.fromkeys(self.format)
        wrong = next((form for form in asked if form not in FORMATS), None)
        expect(wrong is None, "--format", wrong, f"one or more of {', '.join(FORMATS)}")
        view = next((view for view in self.view if view not in VIEWS), None)
        expect(view is None, "--view", view, f"one or more of {', '.join(VIEWS)}")
        for option, pixels in (("--width", self.width), ("--height", self.height)):
            expect(pixels is None or 100 <= pixels <= 20_000, option, pixels, "100 to 20000 pixels")
        expect(0.1 <= self.scale <= 10, "--scale", self.scale, "0.1 to 10")
        expect(4 <= self.font_size <= 100, "--font-size", self.font_size, "4 to 100 pixels")
        expect_number("--relief", self.relief)
        expect_number("--size", self.size, above=True)
        if self.clip is not None:
            expect_number("--clip", self.clip, above=True)

    @property
    def _log(self) -> bool | None:
        return {"auto": None, "yes": True, "no": False}[self.log]

    def _write_images(self, results: Mapping[str, Result], folder: Path, form: str) -> list[Path]:
        from landscape.export.images.image_specs import ImageOptions, image_specs
        from landscape.export.images.render import ImageFile, styled, write_images

        options = ImageOptions(
            metric=self.metric,
            split=self.split,
            log=self._log,
            clip=self.clip,
            views=self.view,
            x=self.x,
            dark=self.dark,
            title=self.title,
            width=self.width,
            labels=self.labels,
        )
        size = None if self.font_size == ExportCommand.font_size else self.font_size
        images, names = [], _Names(folder, form)
        for spec in image_specs(results, options, separate=self.separate):
            path = names.path(spec.stem)
            figure = styled(spec.figure, font=self.font, size=size)
            images.append(ImageFile(figure, path, spec.width, self.height or spec.height))
            for note in spec.notes:
                console.say(f"{path.name}: {note}")
        with console.progress("images", len(images)) as advance:
            write_images(images, scale=self.scale, on_image=advance)
        return [image.path for image in images]

    def _write_tables(self, results: Mapping[str, Result], folder: Path, form: str) -> list[Path]:
        from landscape.export.tables.csv_table import csv_bytes
        from landscape.export.tables.npz_archive import npz_bytes
        from landscape.storage.atomic_write import write_atomically

        content: Callable[[Result], bytes] = csv_bytes if form == "csv" else npz_bytes
        names, written = _Names(folder, form), []
        for key, result in results.items():
            written.append(names.path(key))
            write_atomically(written[-1], functools.partial(_write, content(result)))
        return written

    def _write_meshes(self, results: Mapping[str, Result], folder: Path, form: str) -> list[Path]:
        from landscape.export.meshes.gltf import glb_bytes
        from landscape.export.meshes.relief import Relief
        from landscape.export.meshes.stl import stl_bytes
        from landscape.export.meshes.vtk import vtk_bytes
        from landscape.results import SampledPlane
        from landscape.storage.atomic_write import write_atomically

        names, written = _Names(folder, form), []
        for key, relief in self._reliefs(results, form):
            assert isinstance(relief, Relief)
            surface = results[key]
            if form == "vtk" and isinstance(surface, SampledPlane):
                content = vtk_bytes(surface, relief, title=key)
            else:
                content = stl_bytes(relief, millimetres=self.size) if form == "stl" else glb_bytes(relief, name=key)
            written.append(names.path(key))
            write_atomically(written[-1], functools.partial(_write, content))
            console.say(f"{written[-1].name}: {relief.text}")
        return written

    def _reliefs(self, results: Mapping[str, Result], form: str) -> Iterator[tuple[str, Any]]:
        """Yield each surface's relief, those of one name on one scale.

        Raises:
            LandscapeError: if no surface was chosen, or none has the metric.
        """
        from landscape.export.meshes.relief import reliefs
        from landscape.figures.plots.surfaces.grids import metrics_of
        from landscape.results import SampledPlane

        surfaces = {key: result for key, result in results.items() if isinstance(result, SampledPlane)}
        if not surfaces:
            raise LandscapeError(
                f"a {form} holds a surface, and none was chosen; take csv or npz for the other results"
            )
        groups: dict[str, dict[str, SampledPlane]] = {}
        for key, surface in surfaces.items():
            if self.metric is None or self.metric in metrics_of(surface):
                groups.setdefault(key.rpartition("/")[2], {})[key] = surface
        if not groups:
            known = dict.fromkeys(metric for surface in surfaces.values() for metric in metrics_of(surface))
            raise LandscapeError(f"got --metric {self.metric}; expected one of {', '.join(known)}")
        for group in groups.values():
            yield from reliefs(
                group, metric=self.metric, split=self.split, log=self._log, clip=self.clip, tall=self.relief
            ).items()


def chosen(results: Mapping[str, Result], names: tuple[str, ...]) -> dict[str, Result]:
    """Return the results that names ask for, each the whole name, a part of it between slashes, or a pattern.

    Raises:
        LandscapeError: if there is no result, or none of a name.
    """
    if not results:
        raise LandscapeError("no results in the file yet; see landscape surface --help")
    if not names:
        return dict(results)
    matching = {}
    for name in names:
        fitting = {
            key: r for key, r in results.items() if any(fnmatchcase(part, name) for part in (key, *key.split("/")))
        }
        if not fitting:
            raise LandscapeError(f"no result is called {name!r}; the file has {', '.join(results)}")
        matching.update(fitting)
    return {key: result for key, result in results.items() if key in matching}


class _Names:
    """File names of results in a folder, each once."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder, self._suffix = folder, suffix
        self._taken: set[str] = set()

    def path(self, name: str) -> Path:
        """Return a path for a result: characters that file names cannot hold become dashes."""
        stem = re.sub(r"[^\w.+=,]+", "-", name).strip("-.") or "result"
        stem = stem.encode()[:200].decode(errors="ignore")
        unique, number = stem, 2
        while unique.casefold() in self._taken:
            unique, number = f"{stem}-{number}", number + 1
        self._taken.add(unique.casefold())
        return self._folder / f"{unique}.{self._suffix}"


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
