"""Comparisons of checkpoints and runs: differences with their errors, pairing, rankings and rank correlation."""
