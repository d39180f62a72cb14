"""Figures as images (PNG, SVG or PDF), drawn by kaleido in a local Chromium or Chrome."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import plotly.graph_objects as go

from landscape.errors import LandscapeError
from landscape.storage.atomic_write import write_atomically

ImageFormat = Literal["png", "svg", "pdf"]
FORMATS: tuple[ImageFormat, ...] = ("png", "svg", "pdf")
SIZE = 13  # of the theme's text, in pixels
REMEDY = (
    "install one (apt install chromium), name one in the environment variable BROWSER_PATH, or run plotly_get_chrome"
)


@dataclass(frozen=True)
class ImageFile:
    """A figure, and the file and size that it is drawn with."""

    figure: go.Figure
    path: Path
    width: int  # in CSS pixels, 1/96 inch
    height: int


def write_images(
    images: Sequence[ImageFile], *, scale: float = 2.0, on_image: Callable[[], object] | None = None
) -> None:
    """Draw figures in one browser and write them; existing files are replaced. The suffix is the format.

    Args:
        images: Figures with their files.
        scale: Image pixels per CSS pixel, of PNG.
        on_image: Called after each.

    Raises:
        LandscapeError: kaleido or a browser is missing, or drawing failed; nothing of that image was written.
    """
    if not images:
        return
    kaleido = _kaleido()
    _check_browser()

    async def draw() -> None:
        page = kaleido.PageGenerator(mathjax=False)  # which would be fetched from a network
        async with kaleido.Kaleido(page_generator=page) as browser:
            for image in images:
                form = image.path.suffix.lstrip(".").lower()
                size = {"width": image.width, "height": image.height, "scale": scale if form == "png" else 1}
                content = await browser.calc_fig(image.figure, opts={"format": form, **size})
                write_atomically(image.path, functools.partial(_write, content))
                if on_image is not None:
                    on_image()

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook's thread has an event loop of its own
            thread.submit(lambda: asyncio.run(draw())).result()
    except LandscapeError:
        raise
    except Exception as error:
        raise LandscapeError(_reason(error)) from error


def styled(figure: go.Figure, *, font: str | None = None, size: float | None = None) -> go.Figure:
    """Return a copy of a figure with another font family, or with all its text scaled to another size.

    Args:
        figure: A figure of this package.
        font: A family, such as "Times New Roman"; those after it, separated by commas, stand in where it is missing.
        size: The size of plain text in CSS pixels; titles and tick labels keep their proportion to it.
    """
    copy = go.Figure(figure)
    drawn = copy.to_plotly_json()
    factor = 1.0 if size is None else size / SIZE
    for part in (drawn["layout"], drawn["data"]):
        _restyle(part, font, factor)
    plain: dict[str, Any] = {"size": SIZE * factor}
    return go.Figure(drawn).update_layout(font=plain | ({"family": font} if font else {}))


def _restyle(part: Any, font: str | None, factor: float) -> None:
    """Change every font within a part of a figure, in place."""
    if isinstance(part, dict):
        for key, value in part.items():
            if isinstance(value, dict) and str(key).endswith("font"):
                if isinstance(value.get("size"), int | float):
                    value["size"] = round(value["size"] * factor, 2)
                if font and "family" in value:
                    value["family"] = font
            _restyle(value, font, factor)
    elif isinstance(part, list | tuple):
        for value in part:
            _restyle(value, font, factor)


def _kaleido() -> Any:
    try:
        import kaleido
    except ImportError as error:
        raise LandscapeError(
            "images are drawn by kaleido, which is missing; pip install 'landscape-toolkit[export]'"
        ) from error
    if not hasattr(kaleido, "start_sync_server"):
        raise LandscapeError("kaleido is too old; pip install --upgrade 'kaleido>=1.0'")
    return kaleido


def _check_browser() -> None:
    """Refuse a BROWSER_PATH that names no program, which kaleido would report at length."""
    named = os.environ.get("BROWSER_PATH")
    if named is not None and shutil.which(named) is None:
        raise LandscapeError(f"BROWSER_PATH names {named!r}, which is no program; {REMEDY}")


def _reason(error: BaseException) -> str:
    names = {type(exception).__name__ for exception in (error, error.__cause__, error.__context__)}
    if "ChromeNotFoundError" in names:
        return f"no Chromium or Chrome was found to draw images with; {REMEDY}"
    if names & {"BrowserFailedError", "BrowserClosedError"}:
        return f"the browser that draws images did not start or was closed; {REMEDY}"
    return f"the browser could not draw an image: {str(error).strip() or type(error).__name__}; {REMEDY}"


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
