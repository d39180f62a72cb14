"""Surfaces estimated from several levels of nested subsets, at a stated error."""
