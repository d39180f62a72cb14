"""Sharpness measures, one file each, and `sharpness`, which takes several of them."""

from landscape.analysis.sharpness.average_case import AverageSharpness
from landscape.analysis.sharpness.keskar import KeskarSharpness
from landscape.analysis.sharpness.largest_eigenvalue import LargestEigenvalue
from landscape.analysis.sharpness.measure import sharpness, usual_measures
from landscape.analysis.sharpness.one_step import AsamSharpness, SamSharpness
from landscape.analysis.sharpness.protocol import Cost, SharpnessMeasure
from landscape.analysis.sharpness.worst_case import WorstCaseSharpness

__all__ = [
    "AsamSharpness",
    "AverageSharpness",
    "Cost",
    "KeskarSharpness",
    "LargestEigenvalue",
    "SamSharpness",
    "SharpnessMeasure",
    "WorstCaseSharpness",
    "sharpness",
    "usual_measures",
]
