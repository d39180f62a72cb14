"""Exceptions and warnings that users are meant to read."""


class LandscapeError(Exception):
    """An expected error: one line with the expected value, the actual one, and the remedy.

    The command line prints it on stderr and exits with status 2; any traceback is a bug.

    >>> import landscape
    >>> landscape.load("missing.h5")
    Traceback (most recent call last):
        ...
    landscape.errors.LandscapeError: no such file: missing.h5...
    """


class StorageWarning(UserWarning):
    """A stored result or journal was skipped as damaged or unknown; the others can be read."""


class WorkerWarning(RuntimeWarning):
    """A worker was lost, or none could be placed so far; the work continues."""
