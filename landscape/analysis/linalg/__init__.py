"""Lanczos iterations, Rayleigh-Ritz and eigenvalue bounds for symmetric linear maps; no network, no `torch.nn`."""
