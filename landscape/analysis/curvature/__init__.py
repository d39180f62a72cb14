"""Eigenvalues, trace, spectral density and per-layer curvature of an objective."""
