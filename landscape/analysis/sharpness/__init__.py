"""Sharpness measures: each a frozen description with a method `measure`, and the verb that takes several."""

from landscape.analysis.sharpness.average_case import AverageSharpness
from landscape.analysis.sharpness.evidence import Finding
from landscape.analysis.sharpness.keskar import KeskarSharpness
from landscape.analysis.sharpness.largest_eigenvalue import LargestEigenvalue
from landscape.analysis.sharpness.measure import sharpness, usual_measures
from landscape.analysis.sharpness.one_step import AsamSharpness, SamSharpness
from landscape.analysis.sharpness.protocol import SharpnessMeasure
from landscape.analysis.sharpness.worst_case import WorstCaseSharpness

__all__ = [
    "AsamSharpness",
    "AverageSharpness",
    "Finding",
    "KeskarSharpness",
    "LargestEigenvalue",
    "SamSharpness",
    "SharpnessMeasure",
    "WorstCaseSharpness",
    "sharpness",
    "usual_measures",
]
