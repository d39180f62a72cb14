"""Surfaces to a stated error from nested subsets of the examples: multilevel estimates by random fields."""
