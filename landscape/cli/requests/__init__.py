"""From options to what the workflow takes: sources, planes, measures, and the session of a command."""

import numpy as np  # noqa: F401  # before torch, whose import of numpy swallows Ctrl-C
