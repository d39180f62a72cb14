"""Statistics that every comparison rests on: one computation for the terminal, the report and the exports.

Differences are always second − first: the other minus the reference. Importing this package loads NumPy, but no torch.
"""
