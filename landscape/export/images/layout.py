"""Sizes of images in CSS pixels, and the camera of their 3-D scenes."""

from __future__ import annotations

from typing import Any

FAR = 1.22  # camera distance relative to the page's: images have no room beyond their edges
BAR = 90  # pixels that a colour bar takes
NARROW = 330  # pixels for a panel; where there are fewer, panels lie one below the other


def width_of(panels: int, asked: int | None) -> tuple[int, bool]:
    """Return the width of an image with this many panels, and True if they are stacked; `asked` overrides the width."""
    width = asked or (560 if panels == 1 else 500 * panels)
    return width, panels > 1 and width < NARROW * panels


def line_height(panels: int, stacked: bool) -> int:
    """Return the height of panels of curves."""
    return 120 + 280 * panels if stacked else 440


def square_height(width: int, panels: int) -> int:
    """Return the height at which this many planes side by side are about square."""
    return round(max((width - 70) / panels, 120))


def step_back(scene: Any, *, aspect: float) -> None:
    """Move the camera back until the axes of a relief fit into a scene of this aspect ratio (width over height)."""
    eye, far = scene.camera.eye, FAR / min(aspect, 1.0)
    scene.camera.eye = {axis: far * eye[axis] for axis in ("x", "y", "z")}
