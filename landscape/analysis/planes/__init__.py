"""Lines and planes in weight space: random, between models, along given directions."""

from landscape.analysis.planes.along import Direction, plane_along
from landscape.analysis.planes.between import Triangle, line_between, plane_through, triangle
from landscape.analysis.planes.eigenvectors import eigenvector_directions
from landscape.analysis.planes.gradient import gradient_direction, sam_direction
from landscape.analysis.planes.pca import pca_plane, principal_components
from landscape.analysis.planes.plane import Extent, Plane
from landscape.analysis.planes.random import random_direction, random_plane
from landscape.analysis.planes.user import read_directions, user_direction

__all__ = [
    "Direction",
    "Extent",
    "Plane",
    "Triangle",
    "eigenvector_directions",
    "gradient_direction",
    "line_between",
    "pca_plane",
    "plane_along",
    "plane_through",
    "principal_components",
    "random_direction",
    "random_plane",
    "read_directions",
    "sam_direction",
    "triangle",
    "user_direction",
]
