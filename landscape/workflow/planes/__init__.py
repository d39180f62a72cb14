"""Kinds of planes that surfaces are measured on: one file each, and one line here."""

from landscape.workflow.planes.along import PlaneAlong
from landscape.workflow.planes.between import BezierCurve, CurvePlane, LineBetween, PlaneThrough, Weights
from landscape.workflow.planes.given import GivenPlane
from landscape.workflow.planes.pca import PcaPlane
from landscape.workflow.planes.random import RandomPlane
from landscape.workflow.planes.spec import PlaneSpec

__all__ = [
    "BezierCurve",
    "CurvePlane",
    "GivenPlane",
    "LineBetween",
    "PcaPlane",
    "PlaneAlong",
    "PlaneSpec",
    "PlaneThrough",
    "RandomPlane",
    "Weights",
]
