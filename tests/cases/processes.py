"""Commands in processes of their own."""

import sys

# A command in a process that takes SIGINT, which children of a background job are born to ignore.
LANDSCAPE = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from landscape.cli import main; main()",
]
