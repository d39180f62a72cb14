"""Numerical parts of the sharpness measures: ascent steps and maximization in a ball or a box."""
