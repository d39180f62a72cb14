"""Pictures of the docs, from the analysis files beside this script: `python figures/pictures.py`.

Needs the extra `export` (kaleido) and a Chromium or Chrome, which the environment variable BROWSER_PATH can name.
"""

from collections.abc import Mapping
from pathlib import Path

import landscape
from landscape.figures.figure import compare
from landscape.figures.plots.surfaces.trajectory import trajectory_figure
from landscape.results import Result

NAMES = {"resnet20-cifar10-sam": "SAM, 15 epochs", "resnet20-cifar10-adam": "Adam, 30 epochs"}
MODES = {"modes": "fixed", "modes-recalibrated": "recalibrated", "modes-batch": "batch"}
ENDS = "resnet20-cifar10-sam..resnet20-cifar10-adam"
RUNS = {"trajectory-adam": "resnet20-cifar10-10k-adam-s0", "trajectory-sam": "resnet20-cifar10-10k-sam-s0"}


def of_both(results: Mapping[str, Result], name: str) -> dict[str, Result]:
    """Return the result of this name of each checkpoint, by the checkpoint's name for people."""
    return {NAMES[label]: results[f"{label}/{name}"] for label in NAMES}


def in_modes(results: Mapping[str, Result]) -> dict[str, Result]:
    """Return SAM's line in each BatchNorm mode."""
    return {mode: results[f"resnet20-cifar10-sam/{name}"] for name, mode in MODES.items()}


def main(folder: Path) -> None:
    """Write the pictures."""
    results = landscape.load(folder / "resnet20-cifar10.h5")
    runs = landscape.load(folder / "trajectory.h5")
    curve = landscape.load(folder / "curve.h5")
    pictures = {
        "contours": (compare(of_both(results, "plane"), title="", log=True, view="contour"), 600),
        "lines": (compare(of_both(results, "line"), title="", log=True), 480),
        "batchnorm": (compare(in_modes(results), title="SAM", metrics=["loss"]), 420),
        "between": (compare({"": results[f"{ENDS}/between"]}, title=""), 420),
        "training": (compare(of_both(results, "history"), title=""), 480),
        "density": (compare(of_both(results, "density-1000-density"), title=""), 480),
    }
    path, plane = curve[f"{ENDS}/curve-path"], curve[f"{ENDS}/curve-plane"]
    pictures["curve"] = trajectory_figure({"curve": path}, on=plane, title=""), 520
    for name, run in RUNS.items():
        pictures[name] = trajectory_figure({run: runs[f"{run}/trajectory"]}, on=runs[f"{run}/pca"], title=""), 480
    for name, (figure, height) in pictures.items():
        figure.write_image(folder / f"{name}.png", width=1200, height=height, scale=1.5)


if __name__ == "__main__":
    main(Path(__file__).parent)
