"""Printing to the terminal: tables, progress, warnings."""
