"""Parallel batches: the same values in the same order, in threads of their own, and the caller's settings kept."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.analysis.objective.objective import Objective
from landscape.analysis.operators.operator import CurvatureOperator
from landscape.execution.threads import count_parallel_batches, in_worker_thread, map_batches
from landscape.models import build

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    """A small network that is folded, so that its passes are torch's alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.bn(self.conv(x))).mean((2, 3)))


class Noting(Net):
    """The same, with a hook that could keep a state."""

    def __init__(self) -> None:
        super().__init__()
        self.head.register_forward_hook(lambda *_: IN_WORKER.append(in_worker_thread()))


IN_WORKER: list[bool] = []
X = torch.randn(46, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randint(0, 3, (46,), generator=torch.Generator().manual_seed(1))


def objective(model: type[nn.Module] = Net, **options: Any) -> Objective:
    torch.manual_seed(0)
    return Objective(
        model(), "cross_entropy", X, Y, device="cpu", **{"precision": "float64", "batch_size": 8, **options}
    )


def test_results_come_in_order_and_the_rest_in_the_callers_thread() -> None:
    calls: list[tuple[int, bool]] = []

    def work(item: int) -> int:
        calls.append((item, in_worker_thread()))
        return item * item

    assert list(map_batches(work, range(7), CPU)) == [i * i for i in range(7)]
    assert dict(calls) == {i: i < 6 for i in range(7)}  # two threads; the seventh is left over
    assert not in_worker_thread()


def test_each_worker_has_its_share_of_the_threads_and_the_caller_keeps_its_own() -> None:
    assert list(map_batches(lambda _: torch.get_num_threads(), range(4), CPU)) == [1] * 4
    assert torch.get_num_threads() == 2
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


@pytest.mark.parametrize("limit", [1, 2])
def test_an_error_is_raised_where_it_belongs(limit: int) -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = map_batches(work, range(8), CPU, limit=limit)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_worker_threads_start_no_further_workers() -> None:
    def inner(item: int) -> list[bool]:
        return list(map_batches(lambda _: in_worker_thread(), range(4), CPU))

    assert list(map_batches(inner, range(2), CPU)) == [[True] * 4] * 2


def test_one_thread_means_the_callers() -> None:
    torch.set_num_threads(1)
    assert list(map_batches(lambda _: in_worker_thread(), range(4), CPU)) == [False] * 4


def test_values_gradients_and_products_are_those_of_one_thread() -> None:
    """Not bit for bit: the last batch, which does not fill all workers, is computed by all threads together."""
    parallel, plain = objective(), objective(fold=False)
    assert (parallel.parallel_batches, plain.parallel_batches) == (4, 1)
    v = torch.randn(parallel.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    product = CurvatureOperator(parallel, "hessian")
    found = [parallel.sums(), torch.from_numpy(parallel.per_example()), product(v), product(v)]
    assert (product.num_matvecs, product.recorded) == (2, 1.0)
    gradient = parallel.gradient()
    others = [CurvatureOperator(parallel, operator)(v) for operator in ("ggn", "fisher")]
    torch.set_num_threads(1)
    expected = [plain.sums(), torch.from_numpy(plain.per_example()), *2 * [CurvatureOperator(plain, "hessian")(v)]]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, plain.gradient(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(
        others, [CurvatureOperator(plain, o)(v) for o in ("ggn", "fisher")], rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("options", [{"fold": False}, {"batchnorm": "batch"}, {"metrics": {"m": lambda o, t: o[:, 0]}}])
def test_user_code_that_could_hold_a_state_stays_in_one_thread(options: Any) -> None:
    assert objective(**options).parallel_batches == 1
    IN_WORKER.clear()
    noting = objective(Noting, **options)
    assert noting.parallel_batches == 1
    noting.sums()
    noting.per_example()
    if options.get("batchnorm") != "batch":
        noting.gradient()
        CurvatureOperator(noting)(torch.ones(noting.size, dtype=torch.float64))
    assert IN_WORKER
    assert not any(IN_WORKER)


def test_a_loss_of_the_users_stays_in_one_thread() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        assert not in_worker_thread()
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    model_objective = Objective(Net().double(), loss, X, Y, device="cpu", precision="float64", batch_size=8)
    assert model_objective.parallel_batches == 1
    model_objective.sums()
    model_objective.gradient()


def test_a_function_of_the_users_in_the_graph_stays_in_one_thread() -> None:
    class Wrapped(Net):
        def forward(self, x: Tensor) -> Tensor:
            return wrapped(super().forward(x))

    model_objective = objective(Wrapped)
    assert model_objective.is_folded
    assert model_objective.parallel_batches == 1


def test_a_buffer_that_the_graph_writes_to_is_not_shared_by_threads() -> None:
    """All threads pass the same tensors in; a workspace would hold another batch's."""

    class Working(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("space", torch.zeros(8, 2, 6, 6))

        def forward(self, x: Tensor) -> Tensor:
            self.space.copy_(x)
            return super().forward(self.space)

    x, y = X[:40], Y[:40]
    model_objective = Objective(
        Working().double(), "cross_entropy", x, y, device="cpu", precision="float64", batch_size=8
    )
    assert model_objective.is_folded
    assert model_objective.parallel_batches == 1


@torch.fx.wrap
def wrapped(x: Tensor) -> Tensor:
    return x * 2


def test_two_points_in_turn_are_not_mixed_up() -> None:
    """functional_call puts tensors in the modules' calls, so that threads must not share those."""
    parallel = objective(precision="float32", batch_size=2)
    points = [{name: w + shift for name, w in parallel.origin.items()} for shift in (0.0, 0.3)]
    first = [parallel.sums(point) for point in points]
    for _ in range(20):
        assert all(torch.equal(parallel.sums(point), known) for point, known in zip(points, first, strict=True))


def test_resnet_gives_the_same_bits_every_time() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    resnet = Objective(build("resnet20"), "cross_entropy", images, labels, device="cpu", batch_size=16)
    assert resnet.parallel_batches > 1
    first = resnet.sums()
    for _ in range(3):
        assert torch.equal(resnet.sums(), first)


def test_a_callers_autocast_does_not_reach_inside() -> None:
    resnet = objective(precision="float32")
    expected = resnet.sums(), resnet.gradient()[1]["conv.weight"]
    with torch.autocast("cpu", torch.bfloat16):
        found = resnet.sums(), resnet.gradient()[1]["conv.weight"]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("threads", "batches"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (8, 4), (10, 2)])
def test_as_few_threads_as_possible_stand_idle(threads: int, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert count_parallel_batches(CPU) == batches


def test_only_a_cpu_runs_batches_in_parallel() -> None:
    assert count_parallel_batches(torch.device("cuda")) == 1
