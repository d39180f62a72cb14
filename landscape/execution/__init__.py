"""Execution of work: device, threads and memory of this process, and its worker processes."""
