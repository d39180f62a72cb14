"""Checks of a machine and of checkpoints: each finding says what is there and what to do."""
