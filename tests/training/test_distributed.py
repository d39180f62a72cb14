"""A run shared by two processes against one process with the same batches."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from landscape.data import Dataset, Split, load_dataset
from landscape.training import TrainConfig, train
from landscape.training.distributed import ProcessGroup, join_process_group

# 90 examples: batches of 40, 40 and 10, so that the last one is short; 80 where every part has to be a micro-batch.
GROUP_NORM = TrainConfig(
    model="resnet20-gn", epochs=2, batch_size=40, precision="float32", device="cpu", recipe="sgd", lr=0.01
)
CASES = {
    "sgd": GROUP_NORM,
    "sam-global": dataclasses.replace(GROUP_NORM, recipe="sam-sgd", ascent="global"),
    "ghost": dataclasses.replace(GROUP_NORM, model="resnet20", recipe="sam-sgd", ascent="local"),
}


def tiny(case):
    digits, count = load_dataset("digits"), 80 if case == "ghost" else 90
    splits = {name: Split(split.inputs[:count], split.labels[:count]) for name, split in digits.splits.items()}
    return Dataset("digits", splits, digits.classes, digits.mean, digits.std)


def smooth():
    """Return a context in which relu has no bend: at one, rounding decides, and SAM carries that on to every digit."""
    return mock.patch.object(torch.nn.functional, "relu", torch.nn.functional.gelu)


def main(folder):
    """Train every case as one of the processes that the environment names."""
    torch.set_num_threads(1)
    with join_process_group() as group, smooth():
        assert group.size == 2
        for name, config in CASES.items():
            checkpoint = train(config, tiny(name), state=Path(folder) / f"{name}.partial")
            torch.save(
                {"state": checkpoint.state, "final": checkpoint.final, "history": checkpoint.history},
                Path(folder) / f"{name}-{group.rank}.pt",
            )


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    children = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for child in children:
        _, errors = child.communicate(timeout=240)
        assert child.returncode == 0, errors[-3000:]
    return {
        (name, rank): torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for name in CASES for rank in (0, 1)
    }


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(shared, case):
    config = CASES[case]
    if case == "ghost":  # one process whose micro-batches are the other two's batches
        config = dataclasses.replace(config, micro_batch=20)
    with smooth():
        alone = train(config, tiny(case))
    for rank in (0, 1):
        found = shared[case, rank]
        for name, value in alone.state.items():
            if "running" not in name and "tracked" not in name:  # statistics are those of the first process's part
                torch.testing.assert_close(found["state"][name], value, rtol=1e-4, atol=2e-6)
        if case != "ghost":
            assert found["final"] == pytest.approx(alone.final, rel=1e-4)
        assert found["history"]["gradient_evaluations"] == alone.history["gradient_evaluations"]
    assert all(
        torch.equal(shared[case, 0]["state"][name], shared[case, 1]["state"][name])
        for name in alone.state
        if "running" not in name
    )
    assert shared[case, 0]["final"] == shared[case, 1]["final"]


def test_parts_of_a_batch_cover_it_evenly():
    for count in (1, 2, 3, 5):
        parts = [ProcessGroup(rank, count).shard(slice(7, 24)) for rank in range(count)]
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(7, 24))
        assert max(p.stop - p.start for p in parts) - min(p.stop - p.start for p in parts) <= 1


if __name__ == "__main__":
    main(sys.argv[1])
