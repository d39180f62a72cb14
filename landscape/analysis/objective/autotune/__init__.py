"""Batch size and precision of evaluations, chosen by measurement."""
