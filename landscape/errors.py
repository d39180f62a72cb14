"""The one exception type that people are meant to read."""


class LandscapeError(Exception):
    """An expected error: one line that says what was expected, what came, and what to do.

    The command line prints it on stderr and exits with status 2; a traceback of any other kind is a bug.
    """


class StorageWarning(UserWarning):
    """A stored result or journal that is damaged or not understood, and was left out; the others can be read."""
