"""Figures on a plane of weight space: surfaces, trajectories, convexity maps."""
