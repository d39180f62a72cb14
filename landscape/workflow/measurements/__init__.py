"""Kinds of measurements: one file each, and one line in the public interface."""
