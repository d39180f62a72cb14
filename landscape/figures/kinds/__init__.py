"""Kinds of results: one file states everything that is shown of one kind."""
