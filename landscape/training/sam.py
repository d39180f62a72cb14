"""Sharpness-aware minimization (Foret et al. 2021, arXiv:2010.01412) over any first-order torch optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from landscape.errors import LandscapeError

Groups: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]]


class SAM(Optimizer):
    """SAM as an optimizer: gradient at `w + rho · g / ‖g‖₂` (eq. 2 with p = 2), then one step of the base from `w`.

    The norm runs over the gradients of all parameters together, without weight decay. Parameters without a gradient do
    not move, and a zero gradient gives a zero perturbation. `w` comes back bit for bit before the base steps, from one
    copy that is held only during the step. `param_groups` and `state` are the base's own, so that schedulers and
    `state_dict` work on either; `rho` is an entry of each group, and can be scheduled like the learning rate.

        optimizer = SAM(model.parameters(), functools.partial(torch.optim.Adam, lr=1e-3), rho=0.05, model=model)
        loss = optimizer.step(closure)  # closure: zero_grad, forward, backward, return the loss

    Both passes see the same random numbers of torch (dropout), and the generators end as after one pass. Given `model`,
    the running statistics of its BatchNorm layers move in the first pass only.

    Args:
        params: parameters or groups of them; a group may have its own `rho`.
        base: called with the groups, returns the optimizer that steps: `functools.partial(torch.optim.SGD, lr=0.1)`.
        rho: radius of the perturbation. 0 runs both passes all the same, and equals the base bit for bit.
        model: the module whose BatchNorm layers keep their running statistics in the second pass.

    Raises:
        LandscapeError: for a negative or non-finite `rho`, and for a step without a closure.
    """

    def __init__(
        self, params: Groups, base: Callable[[Any], Optimizer], *, rho: float = 0.05, model: nn.Module | None = None
    ) -> None:
        super().__init__(params, {"rho": rho})
        for group in self.param_groups:
            if not 0 <= group["rho"] < float("inf"):
                raise LandscapeError(
                    f"rho must be a finite number of at least 0, not {group['rho']}; the paper's is 0.05"
                )
        self.base = base(self.param_groups)
        self.defaults = {**self.base.defaults, **self.defaults}
        self._share()
        self.base.register_load_state_dict_post_hook(lambda _: self._share())
        # torch names no public base class of its BatchNorm layers
        self._batchnorms = [m for m in model.modules() if isinstance(m, _BatchNorm)] if model is not None else []

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Return the closure's loss at the weights as they are, after both passes and a step of the base."""
        if closure is None:
            raise LandscapeError(
                "SAM takes two gradients per step, so step needs a closure: pass one that runs zero_grad, the forward "
                "pass and backward, and returns the loss"
            )
        with torch.enable_grad():
            before = self._random_states()
            loss = closure()
            after = self._random_states()
        with torch.no_grad():
            weights = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            saved = [p.clone() for p in weights]
            try:
                self._ascend()
                _set_random_states(before)
                with torch.enable_grad(), _frozen_statistics(self._batchnorms):
                    closure()
            finally:  # an interrupted step must leave the weights as they were, too
                if weights:
                    torch._foreach_copy_(weights, saved)
                _set_random_states(after)
            del saved
        self.base.step()
        return loss

    def _ascend(self) -> None:
        """Move the weights to `w + rho · g / ‖g‖₂`; uses up the gradients, so that no second copy is needed."""
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not grads:
            return
        # half-precision squares overflow; MPS has no float64, but then no gradient is float64 either
        dtype = functools.reduce(torch.promote_types, {g.dtype for g in grads}, torch.float32)
        norms = torch._foreach_norm(grads, 2, dtype=dtype)
        norm = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
        inverse = torch.where(norm > 0, 1 / norm, 0.0)  # on the device: no synchronization
        for group in self.param_groups:
            for device in {p.device for p in group["params"]}:
                moved = [p for p in group["params"] if p.grad is not None and p.device == device]
                if not moved:
                    continue
                steps = [p.grad for p in moved]
                torch._foreach_mul_(steps, (inverse * group["rho"]).to(device))
                torch._foreach_add_(moved, steps)
                for p in moved:
                    p.grad = None

    def _share(self) -> None:
        """Use the base's groups and state, also after loading replaced them; a plain base's state has no rho."""
        self.param_groups = self.base.param_groups
        self.state = self.base.state
        for group in self.param_groups:
            group.setdefault("rho", self.defaults["rho"])

    def _random_states(self) -> dict[torch.device, Tensor]:
        devices = {p.device for group in self.param_groups for p in group["params"]}
        states = {torch.device("cpu"): torch.get_rng_state()}
        for device in devices - set(states):
            states[device] = torch.get_device_module(device).get_rng_state(*_index(device))
        return states

    def state_dict(self) -> dict[str, Any]:
        """Return the base optimizer's state, with rho among the settings of each group."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` of a SAM, or of its base alone, returned."""
        self.base.load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters to the base, and so to this."""
        param_group.setdefault("rho", self.defaults["rho"])
        if hasattr(self, "base"):
            self.base.add_param_group(param_group)
        else:  # called by Optimizer.__init__
            super().add_param_group(param_group)


def _set_random_states(states: dict[torch.device, Tensor]) -> None:
    for device, state in states.items():
        if device.type == "cpu":
            torch.set_rng_state(state)
        else:
            torch.get_device_module(device).set_rng_state(state, *_index(device))


def _index(device: torch.device) -> list[torch.device]:
    return [] if device.type == "mps" else [device]  # there is but one MPS device, and its calls take no name


@contextmanager
def _frozen_statistics(batchnorms: list[_BatchNorm]) -> Iterator[None]:
    """Let BatchNorm use the batch's statistics and leave the running ones, their count included, untouched."""
    tracked = [m.track_running_stats for m in batchnorms]
    try:
        for m in batchnorms:
            m.track_running_stats = False
        yield
    finally:
        for m, track in zip(batchnorms, tracked, strict=True):
            m.track_running_stats = track
