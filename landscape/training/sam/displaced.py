"""The optimizer that SAM and random perturbation are: a gradient from displaced weights, then a step of the base."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import LBFGS, Optimizer

from landscape.errors import LandscapeError
from landscape.training.sam.gradients import clip_, mean_gradient, norm, values
from landscape.training.sam.passes import Replicas, batchnorms

Parameters: TypeAlias = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
Base: TypeAlias = Callable[[Any], Optimizer]
Closure: TypeAlias = Callable[[], Any]


class DisplacedOptimizer(Optimizer):
    """An optimizer over another: `_gradient` leaves a gradient, which is unscaled and clipped, then the base steps.

    `param_groups` and `state` are the base's own, so that schedulers and `state_dict` work on either. The radius of the
    displacement is an entry of each group, and can be scheduled like the learning rate.
    """

    _radius: str  # name of the radius in the groups

    def __init__(
        self, params: Parameters, base: Base, *, radius: float, max_norm: float | None, model: nn.Module | None
    ) -> None:
        if isinstance(base, Optimizer) or not callable(base):
            raise LandscapeError(
                f"base must be a function that makes an optimizer of parameter groups, not of type "
                f"{type(base).__name__}: pass functools.partial(torch.optim.SGD, lr=0.1), say"
            )
        if max_norm is not None and not max_norm > 0:
            raise LandscapeError(f"max_norm must be above 0, or None to leave the gradient as it is, not {max_norm}")
        super().__init__(params, {self._radius: radius})
        self.base = base(self.param_groups)
        if isinstance(self.base, LBFGS):
            raise LandscapeError("LBFGS evaluates closures of its own; take a base that steps from one gradient")
        if self._radius in self.base.defaults:
            self._rename_radius()
        self.defaults = {**self.base.defaults, **self.defaults}
        self.max_norm = max_norm
        self._batchnorms = batchnorms(model)
        self._replicas = Replicas(model)
        self._join_base()

    def step(self, closure: Closure | Sequence[Closure] | None = None, *, scaler: GradScaler | None = None) -> Any:
        """Return the closure's loss, or the mean of the losses of several, after a step of the base.

        Args:
            closure: runs zero_grad, the forward pass and backward, and returns the loss. Several are the micro-batches
                of one step, whose gradients are averaged with equal weights.
            scaler: of fp16 training. The closure runs `scaler.scale(loss).backward()` and returns the loss; call
                `scaler.update()` after the step, as ever. Gradients that overflow, in any pass of any process, skip the
                step. It waits for the device, as `scaler.step` itself does.

        Raises:
            LandscapeError: without a closure.
        """
        closures = [closure] if callable(closure) else list(closure or ())
        if not closures:
            raise LandscapeError(
                f"{type(self).__name__} computes its gradients itself, so step needs a closure: pass one that runs "
                "zero_grad, the forward pass and backward, and returns the loss"
            )
        scaler = scaler if scaler is not None and scaler.is_enabled() else None
        with torch.no_grad():
            loss = self._gradient(closures, scaler)
            self._descend(scaler)
        return loss

    @abstractmethod
    def _gradient(self, closures: Sequence[Closure], scaler: GradScaler | None) -> Any:
        """Leave in `p.grad` the gradient to step along, the same in every process, and return the loss."""

    def _descend(self, scaler: GradScaler | None) -> None:
        """Step the base along the gradients at hand, unscaled and clipped."""
        if scaler is not None and self.max_norm is not None:
            scaler.unscale_(self.base)
        if self.max_norm is not None:
            clip_(self._parameters(), self.max_norm)
        if scaler is not None:
            scaler.step(self.base)
        else:
            self.base.step()

    def _pass(self, closures: Sequence[Closure], *, average: bool) -> Any:
        """Leave the closures' mean gradient in `p.grad`, that of all processes if `average`; return the loss."""
        torch.clear_autocast_cache()  # an autocast context around the step keeps casts of weights that have moved since
        with torch.enable_grad():
            if average and len(closures) == 1:  # DistributedDataParallel overlaps averaging with the backward pass
                return closures[0]()
            with self._replicas.apart():
                loss = mean_gradient(self._parameters(), closures)
        if average:
            self._replicas.average_gradients_(self._parameters())
        return loss

    def _averaged(self, passes: Sequence[Callable[..., Any]]) -> Any:
        """Leave the mean over passes and processes of the gradients that each pass leaves; return the mean loss."""
        if len(passes) == 1:
            return passes[0](average=True)
        loss = mean_gradient(self._parameters(), [functools.partial(run, average=False) for run in passes])
        self._replicas.average_gradients_(self._parameters())
        return loss

    def _overflowed(self, scaler: GradScaler | None) -> bool:
        """Return whether scaled gradients overflowed in any process, and if so make the scaler skip in every one."""
        if scaler is None:
            return False
        numbers = [values(p.grad) for p in self._parameters() if p.grad is not None]
        first = self._parameters()[0]
        largest = norm(numbers, math.inf) if numbers else torch.zeros((), device=first.device)
        if not self._replicas.in_any(~torch.isfinite(largest)):
            return False
        first.grad = torch.full_like(first, math.inf)
        return True

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _join_base(self) -> None:
        """Use the base's groups and state, also after loading replaces them."""
        self._share()
        self.base.register_load_state_dict_post_hook(lambda _: self._share())

    def _rename_radius(self) -> None:
        """Leave the radius's name in the groups to a base that has a setting of this name (Adadelta's rho)."""
        name, self._radius = self._radius, f"perturbation_{self._radius}"
        self.defaults = {self._radius: self.defaults[name]}
        for group in self.base.param_groups:
            group[self._radius], group[name] = group[name], self.base.defaults[name]

    def _share(self) -> None:
        self.param_groups = self.base.param_groups
        self.state = self.base.state
        for group in self.param_groups:  # the state of a base alone has no radius
            group.setdefault(self._radius, self.defaults[self._radius])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters to the base, and so to this."""
        radius = param_group.setdefault(self._radius, self.defaults[self._radius])
        if not 0 <= radius < math.inf:
            raise LandscapeError(f"{self._radius} must be a finite number of at least 0, not {radius}")
        if hasattr(self, "base"):
            self.base.add_param_group(param_group)
        else:  # called by Optimizer.__init__
            super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the base optimizer's state, and under "perturbation" what this one has to remember, if anything."""
        state, own = self.base.state_dict(), self._own_state()
        return {**state, "perturbation": own} if own else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` of such an optimizer, or of its base alone, returned."""
        self.base.load_state_dict(state_dict)
        self._load_own_state(state_dict.get("perturbation", {}))

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        pass

    def __getstate__(self) -> dict[str, Any]:
        # as torch does, without hooks and without the step that a scheduler wrapped
        return {k: v for k, v in self.__dict__.items() if k != "step" and not k.startswith("_optimizer_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._join_base()
