"""Grids of a plane: their axes, and their points in the order they are measured."""
