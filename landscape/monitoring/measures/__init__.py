"""Measures of the monitor, one file each."""
