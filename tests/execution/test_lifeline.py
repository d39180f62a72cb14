"""A process ends with its parent, whatever it is doing: here it computes without end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import multiprocessing
from landscape.execution.lifeline import end_with_parent

def start(connection):
    end_with_parent()
    import work
    work.forever(connection)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=start, args=(there,), daemon=True)
    process.start()
    here.recv()  # it is at work
    print(process.pid, flush=True)
    process.join()
"""
WORK = """
def forever(connection):
    connection.send("at work")
    while True:
        pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_a_worker_in_the_middle_of_its_work_ends_with_its_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "work.py").write_text(WORK)
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)  # it is there
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert parent.stdout.read() == ""  # ends when the last process that holds the pipe does: the worker
    parent.stdout.close()
