"""Measurements of the snapshots of training runs."""
