"""Sharpness analysis and loss-landscape visualization of neural networks.

The verbs of the command line as functions, imported when first used::

    objective = landscape.Objective(model, "cross_entropy", inputs, targets)
    landscape.figure(landscape.surface(objective, points=51)).show()
    landscape.hessian(objective, top=5).eigenvalues
    landscape.sharpness(objective).measures
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from landscape.version import __version__

_HOMES = {
    "CurvatureOperator": "landscape.analysis.operators.operator",
    "AnalysisFile": "landscape.analysis_file",
    "AsamSharpness": "landscape.analysis.sharpness",
    "AverageSharpness": "landscape.analysis.sharpness",
    "Axes": "landscape.analysis.surfaces.grids.axes",
    "Convexity": "landscape.workflow.measurements.convexity",
    "Density": "landscape.workflow.measurements.density",
    "Dynamics": "landscape.workflow.measurements.snapshots.dynamics",
    "Eigenvalues": "landscape.workflow.measurements.eigenvalues",
    "Evaluation": "landscape.analysis.surfaces.evaluation",
    "FriendlySAM": "landscape.training",
    "InitialWeights": "landscape.training",
    "KeskarSharpness": "landscape.analysis.sharpness",
    "LandscapeError": "landscape.errors",
    "LargestEigenvalue": "landscape.analysis.sharpness",
    "Layers": "landscape.workflow.measurements.layers",
    "LineBetween": "landscape.workflow.planes",
    "Measurement": "landscape.workflow.measurement",
    "ModelLoss": "landscape.analysis.objective.model_loss",
    "Monitor": "landscape.monitoring",
    "Objective": "landscape.analysis.objective.objective",
    "PlaneSpec": "landscape.workflow.planes",
    "RandomPerturbation": "landscape.training",
    "RandomPlane": "landscape.workflow.planes",
    "SAM": "landscape.training",
    "SamSharpness": "landscape.analysis.sharpness",
    "Sharpness": "landscape.workflow.measurements.sharpness",
    "StepSizes": "landscape.workflow.measurements.snapshots.dynamics",
    "Surface": "landscape.workflow.measurements.surface",
    "SurfaceSeries": "landscape.workflow.measurements.snapshots.surface_series",
    "Trace": "landscape.workflow.measurements.eigenvalues",
    "TrainConfig": "landscape.training",
    "Weights": "landscape.workflow.planes",
    "WorstCaseSharpness": "landscape.analysis.sharpness",
    "basin_width": "landscape.stats.basin_width",
    "convexity": "landscape.analysis.surfaces.convexity",
    "density": "landscape.analysis.curvature.density",
    "eigenvector_directions": "landscape.analysis.planes",
    "eigenvectors": "landscape.analysis.curvature.eigenvalues",
    "figure": "landscape.figures.figure",
    "find_snapshots": "landscape.analysis.planes.snapshots",
    "gradient_direction": "landscape.analysis.planes",
    "hessian": "landscape.analysis.curvature.eigenvalues",
    "layers": "landscape.analysis.curvature.layers",
    "line_between": "landscape.analysis.planes",
    "load": "landscape.storage.loading",
    "load_checkpoint": "landscape.models.checkpoint",
    "load_dataset": "landscape.data",
    "pca_plane": "landscape.analysis.planes",
    "plane_along": "landscape.analysis.planes",
    "plane_through": "landscape.analysis.planes",
    "random_direction": "landscape.analysis.planes",
    "random_plane": "landscape.analysis.planes",
    "sam_direction": "landscape.analysis.planes",
    "save_checkpoint": "landscape.models.checkpoint",
    "sharpness": "landscape.analysis.sharpness",
    "surface": "landscape.analysis.surfaces.surface",
    "trace": "landscape.analysis.curvature.trace",
    "train": "landscape.training",
    "train_curve": "landscape.analysis.connectivity.curve_training",
    "train_pair": "landscape.training",
    "tune_allocator": "landscape.execution.allocator",
    "user_direction": "landscape.analysis.planes",
    "write_report": "landscape.figures.report.page",
}

__all__ = [
    "SAM",
    "AnalysisFile",
    "AsamSharpness",
    "AverageSharpness",
    "Axes",
    "Convexity",
    "CurvatureOperator",
    "Density",
    "Dynamics",
    "Eigenvalues",
    "Evaluation",
    "FriendlySAM",
    "InitialWeights",
    "KeskarSharpness",
    "LandscapeError",
    "LargestEigenvalue",
    "Layers",
    "LineBetween",
    "Measurement",
    "ModelLoss",
    "Monitor",
    "Objective",
    "PlaneSpec",
    "RandomPerturbation",
    "RandomPlane",
    "SamSharpness",
    "Sharpness",
    "StepSizes",
    "Surface",
    "SurfaceSeries",
    "Trace",
    "TrainConfig",
    "Weights",
    "WorstCaseSharpness",
    "__version__",
    "basin_width",
    "convexity",
    "density",
    "eigenvector_directions",
    "eigenvectors",
    "figure",
    "find_snapshots",
    "gradient_direction",
    "hessian",
    "layers",
    "line_between",
    "load",
    "load_checkpoint",
    "load_dataset",
    "pca_plane",
    "plane_along",
    "plane_through",
    "random_direction",
    "random_plane",
    "sam_direction",
    "save_checkpoint",
    "sharpness",
    "surface",
    "trace",
    "train",
    "train_curve",
    "train_pair",
    "tune_allocator",
    "user_direction",
    "write_report",
]

if TYPE_CHECKING:
    from landscape.analysis.connectivity.curve_training import train_curve
    from landscape.analysis.curvature.density import density
    from landscape.analysis.curvature.eigenvalues import eigenvectors, hessian
    from landscape.analysis.curvature.layers import layers
    from landscape.analysis.curvature.trace import trace
    from landscape.analysis.objective.model_loss import ModelLoss
    from landscape.analysis.objective.objective import Objective
    from landscape.analysis.operators.operator import CurvatureOperator
    from landscape.analysis.planes import (
        eigenvector_directions,
        gradient_direction,
        line_between,
        pca_plane,
        plane_along,
        plane_through,
        random_direction,
        random_plane,
        sam_direction,
        user_direction,
    )
    from landscape.analysis.planes.snapshots import find_snapshots
    from landscape.analysis.sharpness import (
        AsamSharpness,
        AverageSharpness,
        KeskarSharpness,
        LargestEigenvalue,
        SamSharpness,
        WorstCaseSharpness,
        sharpness,
    )
    from landscape.analysis.surfaces.convexity import convexity
    from landscape.analysis.surfaces.evaluation import Evaluation
    from landscape.analysis.surfaces.grids.axes import Axes
    from landscape.analysis.surfaces.surface import surface
    from landscape.analysis_file import AnalysisFile
    from landscape.data import load_dataset
    from landscape.errors import LandscapeError
    from landscape.execution.allocator import tune_allocator
    from landscape.figures.figure import figure
    from landscape.figures.report.page import write_report
    from landscape.models.checkpoint import load_checkpoint, save_checkpoint
    from landscape.monitoring import Monitor
    from landscape.stats.basin_width import basin_width
    from landscape.storage.loading import load
    from landscape.training import SAM, FriendlySAM, InitialWeights, RandomPerturbation, TrainConfig, train, train_pair
    from landscape.workflow.measurement import Measurement
    from landscape.workflow.measurements.convexity import Convexity
    from landscape.workflow.measurements.density import Density
    from landscape.workflow.measurements.eigenvalues import Eigenvalues, Trace
    from landscape.workflow.measurements.layers import Layers
    from landscape.workflow.measurements.sharpness import Sharpness
    from landscape.workflow.measurements.snapshots.dynamics import Dynamics, StepSizes
    from landscape.workflow.measurements.snapshots.surface_series import SurfaceSeries
    from landscape.workflow.measurements.surface import Surface
    from landscape.workflow.planes import LineBetween, PlaneSpec, RandomPlane, Weights


def __getattr__(name: str) -> Any:
    """Import a public name where it lives; opening a plot must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
