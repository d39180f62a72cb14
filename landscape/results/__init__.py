"""Results: frozen dataclasses of NumPy arrays, each with the attributes that let a stranger repeat it.

Everything here is plain NumPy, so that opening a plot never loads torch. Axis order is ``[split, y, x]`` everywhere.
"""

from landscape.results.base import Attributes, Floats, Labels, Measured, Over, R, Result, with_attributes
from landscape.results.curvature import DensityResult, LayersResult, SpectrumResult
from landscape.results.sampled import (
    BOUNDED_POINT,
    POINT,
    ConvexityResult,
    LineResult,
    Sampled,
    SampledPlane,
    SurfaceResult,
    points_table,
)
from landscape.results.sharpness import MeasureResult, SharpnessResult, StudyResult
from landscape.results.training import DynamicsResult, HistoryResult, SurfaceSeriesResult, TrajectoryResult

__all__ = [
    "BOUNDED_POINT",
    "POINT",
    "Attributes",
    "ConvexityResult",
    "DensityResult",
    "DynamicsResult",
    "Floats",
    "HistoryResult",
    "Labels",
    "LayersResult",
    "LineResult",
    "MeasureResult",
    "Measured",
    "Over",
    "R",
    "Result",
    "Sampled",
    "SampledPlane",
    "SharpnessResult",
    "SpectrumResult",
    "StudyResult",
    "SurfaceResult",
    "SurfaceSeriesResult",
    "TrajectoryResult",
    "points_table",
    "with_attributes",
]
