"""Workers that are sent their tasks as other processes are, but run in this one, and answer in reverse order."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from landscape.execution import Workers
from landscape.execution.payload import pack, unpack


class PackedWorkers(Workers):
    """Workers in this process that hold nothing of the caller's but what was pickled."""

    def __init__(self, count: int = 2) -> None:
        super().__init__(count, None)
        self.tasks: list[Any] = []
        self.requests: list[Any] = []
        self._functions: dict[int, Any] = {}

    is_inline = False

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    def map(self, task: Any, requests: Iterable[Any]) -> Iterator[Any]:
        yield from self._function(task)(self._noted(reversed(list(requests))))

    def gather(self, tasks: Any, request: Any) -> list[Any]:
        return [result for task in tasks for result in self._function(task)(self._noted([request]))]

    def _function(self, task: Any) -> Any:
        if id(task) not in self._functions:
            self.tasks.append(task)
            self._functions[id(task)] = unpack(*pack(task), task.device)
        return self._functions[id(task)]

    def _noted(self, requests: Iterable[Any]) -> Iterator[Any]:
        for request in requests:
            self.requests.append(request)
            yield request
