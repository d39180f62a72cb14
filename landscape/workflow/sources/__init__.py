"""Subjects of measurements: objectives of a program, and models with the weights of files."""
