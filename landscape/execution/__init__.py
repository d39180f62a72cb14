"""Execution of work: workers (inline, processes, a Ray cluster), and the device, threads and memory of a process."""

from landscape.execution.opening import count_workers, open, threads_of, use  # noqa: A004
from landscape.execution.protocol import Portable, Task
from landscape.execution.workers import Workers

__all__ = ["Portable", "Task", "Workers", "count_workers", "open", "threads_of", "use"]
