"""Batches side by side: the same values in the same order, in threads of their own, and the caller's settings kept."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from landscape.analysis.objective import Objective
from landscape.analysis.streams import in_a_stream, in_streams

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    """A small convolutional network with what may differ between threads: it writes its input, and notes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.threads: set[str] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.threads.add(threading.current_thread().name)
        return self.head(torch.tanh(self.bn(self.conv(x))).mean((2, 3)))


X = torch.randn(46, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randint(0, 3, (46,), generator=torch.Generator().manual_seed(1))


def objective(**options: bool) -> Objective:
    torch.manual_seed(0)
    return Objective(Net(), "cross_entropy", X, Y, device="cpu", precision="float64", batch_size=8, **options)


def test_results_come_in_order_and_the_rest_in_the_callers_thread() -> None:
    places: list[tuple[int, bool]] = []

    def work(item: int) -> int:
        places.append((item, in_a_stream()))
        return item * item

    assert list(in_streams(work, range(7), CPU)) == [i * i for i in range(7)]
    assert dict(places) == {i: i < 6 for i in range(7)}  # two streams; the seventh is left over
    assert not in_a_stream()


def test_each_stream_has_its_share_of_the_threads_and_the_caller_keeps_its_own() -> None:
    assert list(in_streams(lambda _: torch.get_num_threads(), range(4), CPU)) == [1] * 4
    assert torch.get_num_threads() == 2
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


@pytest.mark.parametrize("most", [1, 2])
def test_an_error_is_raised_where_it_belongs(most: int) -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = in_streams(work, range(8), CPU, most=most)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_streams_do_not_open_streams_of_their_own() -> None:
    def inner(item: int) -> list[bool]:
        return list(in_streams(lambda _: in_a_stream(), range(4), CPU))

    assert list(in_streams(inner, range(2), CPU)) == [[True] * 4] * 2


def test_one_thread_means_the_callers() -> None:
    torch.set_num_threads(1)
    assert list(in_streams(lambda _: in_a_stream(), range(4), CPU)) == [False] * 4


@pytest.mark.parametrize("fold", [True, False])
def test_values_gradients_and_products_are_those_of_one_thread(fold: bool) -> None:
    """Not bit for bit: the last batch, which fills no stream alone, is computed by all threads together."""
    streamed, plain = objective(fold=fold), objective(fold=fold)
    v = torch.randn(streamed.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    product = streamed.product("hessian")
    found = [streamed.sums(), torch.from_numpy(streamed.per_example()), product(v), product(v)]
    gradient = streamed.gradient()
    ggn = streamed.product("ggn")(v)
    torch.set_num_threads(1)
    expected = [plain.sums(), torch.from_numpy(plain.per_example()), *2 * [plain.product("hessian")(v)]]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, plain.gradient(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(ggn, plain.product("ggn")(v), rtol=1e-12, atol=1e-14)


def test_networks_are_not_shared_between_threads_but_their_tensors_are() -> None:
    """functional_call puts tensors in the modules' places, so two threads at two points would mix them up."""
    streamed = objective(fold=False)
    moved = {name: w + 0.3 for name, w in streamed.origin.items()}
    expected = [streamed.sums(), streamed.sums(moved)]
    begun = threading.Barrier(2)

    class Meeting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            if in_a_stream():
                begun.wait(10)  # both are inside now
            return self.w + x

    meeting = Objective(Meeting(), "mse", torch.zeros(16, 1), torch.zeros(16, 1), device="cpu", batch_size=8)
    for w in (1.0, 2.0):
        assert meeting.loss({"w": torch.tensor(w)}) == pytest.approx(w * w)
    torch.testing.assert_close([streamed.sums(), streamed.sums(moved)], expected, rtol=0, atol=0)


def test_resnet_gives_the_same_bits_every_time() -> None:
    from landscape.models import build

    torch.manual_seed(0)
    images, labels = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    resnet = Objective(build("resnet20"), "cross_entropy", images, labels, device="cpu", batch_size=16)
    first = resnet.sums()
    for _ in range(3):
        assert torch.equal(resnet.sums(), first)
