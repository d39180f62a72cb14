"""Measurements by name: identify, resume, run, store; one path for Python and for the command line."""
