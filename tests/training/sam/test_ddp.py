"""SAM over DistributedDataParallel: two processes take the steps of one process with two micro-batches."""

import functools
import os
import subprocess
import sys

import pytest
import torch
from torch import distributed, nn
from torch.amp import GradScaler
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from landscape.errors import LandscapeError
from landscape.training.sam import SAM, RandomPerturbation

PROCESSES, STEPS = 2, 3
SGD = functools.partial(torch.optim.SGD, lr=0.2, momentum=0.9)

# name: optimizer, normalization, closures per process and step, options of DistributedDataParallel
CASES = {
    "global-groupnorm": (functools.partial(SAM, rho=0.3, ascent="global"), "group", 1, {}),
    "local-groupnorm": (functools.partial(SAM, rho=0.3), "group", 1, {}),
    "global-batchnorm": (functools.partial(SAM, rho=0.3, ascent="global"), "batch", 1, {}),
    "local-batchnorm": (functools.partial(SAM, rho=0.3), "batch", 1, {}),
    "local-twice": (functools.partial(SAM, rho=0.3), "batch", 2, {}),
    "global-twice": (functools.partial(SAM, rho=0.3, ascent="global"), "batch", 2, {}),
    "process-twice": (functools.partial(SAM, rho=0.3, ascent="process"), "group", 2, {}),
    "gsam": (functools.partial(SAM, rho=0.3, gsam_alpha=0.4), "group", 1, {"gradient_as_bucket_view": True}),
    "gsam-global": (
        functools.partial(SAM, rho=0.3, gsam_alpha=0.4, ascent="global"),
        "group",
        1,
        {"gradient_as_bucket_view": True},
    ),
    "looksam": (functools.partial(SAM, rho=0.3, every=2), "group", 1, {}),
    "asam-clipped": (functools.partial(SAM, rho=0.3, adaptive="weights-only", max_norm=0.1), "group", 1, {}),
    "random": (functools.partial(RandomPerturbation, gamma=0.1), "group", 1, {}),
    "random-twice": (functools.partial(RandomPerturbation, gamma=0.1), "group", 2, {}),
}


def make_network(norm):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.GroupNorm(2, 6) if norm == "group" else nn.BatchNorm1d(6)
        return nn.Sequential(nn.Linear(4, 6), layer, nn.Tanh(), nn.Linear(6, 3)).double()


def make_parts(parts):
    """The micro-batches of each step: the same examples, in as many parts as asked for."""
    generator = torch.Generator().manual_seed(1)
    draw = functools.partial(torch.randn, generator=generator, dtype=torch.float64)
    batches = [(draw(16, 4), draw(16, 3)) for _ in range(STEPS)]
    return [list(zip(x.chunk(parts), y.chunk(parts), strict=True)) for x, y in batches]


def make_closure(model, optimizer, batch, *, zeros=False, scaler=None, scale=1.0):
    def closure():
        optimizer.zero_grad(set_to_none=not zeros)
        loss = F.mse_loss(model(batch[0]), batch[1])
        (loss * scale if scaler is None else scaler.scale(loss * scale)).backward()
        return loss

    return closure


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(name, *, rank=0, processes=1):
    """Return the weights after a case's steps, taken by one process with all closures, or by one of several."""
    make, norm, closures, options = CASES[name]
    model = make_network(norm)
    wrapped = DistributedDataParallel(model, **options) if processes > 1 else model
    optimizer = make(model.parameters(), SGD, model=wrapped)
    for parts in make_parts(PROCESSES * closures):
        mine = parts[rank * closures : (rank + 1) * closures] if processes > 1 else parts
        bucketed = bool(options)  # gradients that stay, as views of the buckets which the next backward overwrites
        optimizer.step([make_closure(wrapped, optimizer, batch, zeros=bucketed) for batch in mine])
    return weights(model)


def train_overflowing(rank):
    """Return the weights and scales after a step in which one process alone overflows, in its first or second pass."""
    result = []
    for bad in range(2):
        model = make_network("group")
        wrapped = DistributedDataParallel(model)
        optimizer, scaler = SAM(model.parameters(), SGD, rho=0.3, model=wrapped), GradScaler("cpu", init_scale=4.0)
        passes = iter(range(9))

        def closure(wrapped=wrapped, optimizer=optimizer, scaler=scaler, passes=passes, bad=bad):
            scale = float("inf") if rank == 1 and next(passes) == bad else 1.0
            return make_closure(wrapped, optimizer, make_parts(2)[0][rank], scaler=scaler, scale=scale)()

        for _ in range(2):
            optimizer.step(closure, scaler=scaler)
            scaler.update()
            result.append((weights(model), scaler.get_scale()))
    return result


def train_sparse():
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 3)).double()
    wrapped = DistributedDataParallel(model)
    optimizer = SAM(model.parameters(), functools.partial(torch.optim.SGD, lr=0.1), model=wrapped)
    batch = (torch.tensor([0, 1]), torch.ones(2, 3, dtype=torch.float64))
    closure = make_closure(wrapped, optimizer, batch)
    optimizer.step(closure)  # averaged by DistributedDataParallel
    try:
        optimizer.step([closure, closure])
    except LandscapeError as error:
        return str(error)
    return ""


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES)
    results = {name: train(name, rank=rank, processes=PROCESSES) for name in CASES}
    results["overflowing"] = train_overflowing(rank)
    results["sparse"] = train_sparse()
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a machine's name need not resolve
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(PROCESSES)
    ]
    try:
        outputs = [worker.communicate(timeout=150)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * PROCESSES, "\n".join(outputs)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.mark.parametrize("name", [name for name in CASES if name != "process-twice"])
def test_processes_equal_micro_batches_of_one_process(results, name):
    """BatchNorm's too: one process with micro-batches has the ghost batches that the processes have."""
    assert torch.equal(results[0][name], results[1][name])
    torch.testing.assert_close(results[0][name], train(name), rtol=1e-10, atol=1e-13)


def test_global_ascent_equals_the_whole_batch_in_one_pass(results):
    model = make_network("group")
    optimizer = SAM(model.parameters(), SGD, rho=0.3)
    for ((x, y),) in make_parts(1):
        optimizer.step(make_closure(model, optimizer, (x, y)))
    torch.testing.assert_close(results[0]["global-groupnorm"], weights(model), rtol=1e-10, atol=1e-13)
    assert not torch.allclose(results[0]["local-groupnorm"], weights(model), rtol=1e-3)


def test_an_ascent_per_process_takes_the_mean_over_its_closures(results):
    model = make_network("group")
    optimizer = SAM(model.parameters(), SGD, rho=0.3)  # per micro-batch, each of them a process's whole batch
    for parts in make_parts(2):
        optimizer.step([make_closure(model, optimizer, part) for part in parts])
    torch.testing.assert_close(results[0]["process-twice"], weights(model), rtol=1e-10, atol=1e-13)


def test_an_overflow_in_one_process_skips_the_step_in_all(results):
    for (first, scale), (second, other) in zip(results[0]["overflowing"], results[1]["overflowing"], strict=True):
        assert torch.equal(first, second)
        assert scale == other == 2.0
    start = weights(make_network("group"))
    for skipped, taken in ((0, 1), (2, 3)):
        assert torch.equal(results[0]["overflowing"][skipped][0], start)
        assert not torch.equal(results[0]["overflowing"][taken][0], start)


def test_sparse_gradients_of_several_closures_are_refused(results):
    assert "pass one closure, or set sparse=False" in results[0]["sparse"]


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
