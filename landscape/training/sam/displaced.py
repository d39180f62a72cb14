"""Base class of SAM and random perturbation: a gradient at perturbed weights, then a step of the base optimizer."""

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
    """An optimizer over another: `_gradient` sets the gradients, which are unscaled and clipped, then the base steps.

    `param_groups` and `state` are those of the base, so that schedulers and `state_dict` work on either. The radius of
    the perturbation is an entry of each group, and can be scheduled like the learning rate.
    """

    _radius: str  # key of the radius in the groups

    def __init__(
        self, params: Parameters, base: Base, *, radius: float, max_norm: float | None, model: nn.Module | None
    ) -> None:
        if isinstance(base, Optimizer) or not callable(base):
            raise LandscapeError(
                f"base must be a function from parameter groups to an optimizer, not of type "
                f"{type(base).__name__}: pass functools.partial(torch.optim.SGD, lr=0.1), say"
            )
        if max_norm is not None and not max_norm > 0:
            raise LandscapeError(f"max_norm must be above 0, or None to leave the gradient as it is, not {max_norm}")
        super().__init__(params, {self._radius: radius})
        self.base = base(self.param_groups)
        if isinstance(self.base, LBFGS):
            raise LandscapeError("LBFGS evaluates closures itself; take a base that steps from one gradient")
        if self._radius in self.base.defaults:
            self._rename_radius()
        self.defaults = {**self.base.defaults, **self.defaults}
        self.max_norm = max_norm
        self._batchnorms = batchnorms(model)
        self._replicas = Replicas(model)
        self._join_base()

    def step(self, closure: Closure | Sequence[Closure] | None = None, *, scaler: GradScaler | None = None) -> Any:
        """Take a step, and return the loss of the closure, or the mean loss of several.

        Args:
            closure: runs zero_grad, the forward pass and backward, and returns the loss. Several are the micro-batches
                of one step, whose gradients are averaged with equal weights.
            scaler: of fp16 training. The closure runs `scaler.scale(loss).backward()` and returns the loss; call
                `scaler.update()` after the step, as usual. Gradients that overflow, in any pass of any process, skip
                the step. It waits for the device, as `scaler.step` itself does.

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

    @property
    def radius_key(self) -> str:
        """Key of the radius in the groups: "rho" or "gamma", prefixed if the base has a setting of that name."""
        return self._radius

    @abstractmethod
    def _gradient(self, closures: Sequence[Closure], scaler: GradScaler | None) -> Any:
        """Set `p.grad` to the gradient of the step, the same in every process, and return the loss."""

    def _descend(self, scaler: GradScaler | None) -> None:
        """Step the base along the current gradients, unscaled and clipped."""
        if scaler is not None and self.max_norm is not None:
            scaler.unscale_(self.base)
        if self.max_norm is not None:
            clip_(self._parameters(), self.max_norm)
        if scaler is not None:
            scaler.step(self.base)
        else:
            self.base.step()

    def _pass(self, closures: Sequence[Closure], *, average: bool) -> Any:
        """Set `p.grad` to the mean gradient of the closures, over all processes if `average`; return the loss."""
        torch.clear_autocast_cache()  # an outer autocast context caches casts of the weights before they moved
        with torch.enable_grad():
            if average and len(closures) == 1:  # DistributedDataParallel overlaps averaging with the backward pass
                return closures[0]()
            with self._replicas.no_sync():
                loss = mean_gradient(self._parameters(), closures)
        if average:
            self._replicas.average_gradients_(self._parameters())
        return loss

    def _averaged(self, passes: Sequence[Callable[..., Any]]) -> Any:
        """Set `p.grad` to the mean gradient over passes and processes; return the mean loss."""
        if len(passes) == 1:
            return passes[0](average=True)
        loss = mean_gradient(self._parameters(), [functools.partial(run, average=False) for run in passes])
        self._replicas.average_gradients_(self._parameters())
        return loss

    def _overflowed(self, scaler: GradScaler | None) -> bool:
        """Return True if scaled gradients overflowed in any process; every process's scaler then skips the step."""
        if scaler is None:
            return False
        numbers = [values(p.grad) for p in self._parameters() if p.grad is not None]
        first = self._parameters()[0]
        largest = norm(numbers, math.inf) if numbers else torch.zeros((), device=first.device)
        if not self._replicas.any(~torch.isfinite(largest)):
            return False
        first.grad = torch.full_like(first, math.inf)
        return True

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _join_base(self) -> None:
        """Share groups and state with the base, also after loading replaces them."""
        self._share()
        self.base.register_load_state_dict_post_hook(lambda _: self._share())

    def _rename_radius(self) -> None:
        """Prefix the key of the radius if the base has a setting of the same name, such as Adadelta's `rho`."""
        name, self._radius = self._radius, f"perturbation_{self._radius}"
        self.defaults = {self._radius: self.defaults[name]}
        for group in self.base.param_groups:
            group[self._radius], group[name] = group[name], self.base.defaults[name]

    def _share(self) -> None:
        self.param_groups = self.base.param_groups
        self.state = self.base.state
        for group in self.param_groups:  # the state of a base optimizer has no radius
            group.setdefault(self._radius, self.defaults[self._radius])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, to the base too."""
        radius = param_group.setdefault(self._radius, self.defaults[self._radius])
        if not 0 <= radius < math.inf:
            raise LandscapeError(f"{self._radius} must be a finite number of at least 0, not {radius}")
        if hasattr(self, "base"):
            self.base.add_param_group(param_group)
        else:  # called by Optimizer.__init__
            super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base, with the state of the perturbation, if any, under "perturbation"."""
        state, extra = self.base.state_dict(), self._extra_state()
        return {**state, "perturbation": extra} if extra else state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the `state_dict` of such an optimizer, or of its base alone."""
        self.base.load_state_dict(state_dict)
        self._load_extra_state(state_dict.get("perturbation", {}))

    def _extra_state(self) -> dict[str, Any]:
        return {}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        pass

    def __getstate__(self) -> dict[str, Any]:
        # as in torch, without hooks and without the step that a scheduler wrapped
        return {k: v for k, v in self.__dict__.items() if k != "step" and not k.startswith("_optimizer_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._join_base()
