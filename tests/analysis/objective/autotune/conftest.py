"""A clock that tests set."""

from collections.abc import Callable

import pytest
import torch
from cases.timed_network import SEEN

from landscape.analysis.objective.autotune import precision_policy


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[torch.dtype, int], float]], None]:
    """Make the policies see a clock that runs as fast as each pass's precision and batch size say."""
    SEEN.clear()

    def install(cost: Callable[[torch.dtype, int], float]) -> None:
        monkeypatch.setattr(precision_policy.time, "perf_counter", lambda: sum(cost(*seen) for seen in SEEN))

    return install
