"""Where work runs: threads and memory of this process."""
