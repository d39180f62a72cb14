"""Barriers on lines between minima and Bézier curves of low loss (mode connectivity)."""
