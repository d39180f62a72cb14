"""Random weight perturbation: descent on the loss smoothed by Gaussian noise on the weights, one gradient per step."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.amp import GradScaler

from landscape.errors import LandscapeError
from landscape.training.sam.displaced import Base, Closure, DisplacedOptimizer, Parameters
from landscape.training.sam.passes import restored
from landscape.training.sam.perturbation import add_noise_


class RandomPerturbation(DisplacedOptimizer):
    """Random weight perturbation as an optimizer: the gradient at `w + ε`, then one step of the base from `w`.

    The noise is Gaussian with standard deviation `gamma` times the norm of each filter: the Monte Carlo gradient of
    LPF-SGD (Bisla et al. 2022, arXiv:2201.08025). RWP (Li et al. 2022, arXiv:2211.11489) adds the
    gradient at `w` to the same, which this does not. A filter is a slice along dimension 0, and a tensor of fewer than
    two dimensions is one filter. Several closures have independent noise, as the M samples of LPF-SGD.

    A step takes one gradient, as the base alone. The loss that `step` returns, and the statistics of BatchNorm layers,
    are those at `w + ε`. `w` is restored bit for bit before the base steps. The noise depends on the seed, the step and
    the number of the closure alone; torch's random numbers are those of the base without perturbation.

    >>> w = nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = RandomPerturbation([w], functools.partial(torch.optim.SGD, lr=0.1), gamma=0.0)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = w.square().sum() / 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    12.5
    >>> [round(value, 2) for value in w.tolist()]
    [2.7, 3.6]

    Args:
        params: parameters or groups of them; a group may set `gamma`.
        base: function from the groups to the base optimizer: `functools.partial(torch.optim.SGD, lr=0.1)`.
        gamma: standard deviation of the noise relative to the norm of the filter. 0 equals the base bit for bit.
        seed: seed of the noise.
        max_norm: clips the gradient of the step, as torch's `clip_grad_norm_` does; None does not clip.
        model: needed only if wrapped in a DistributedDataParallel, so that each process draws other noise.

    Raises:
        LandscapeError: for an invalid value, and for a step without a closure.
    """

    _radius = "gamma"

    def __init__(
        self,
        params: Parameters,
        base: Base,
        *,
        gamma: float = 0.01,
        seed: int = 0,
        max_norm: float | None = None,
        model: nn.Module | None = None,
    ) -> None:
        if seed < 0:
            raise LandscapeError(f"seed must be at least 0, not {seed}")
        self.seed = seed
        self._steps = 0
        super().__init__(params, base, radius=gamma, max_norm=max_norm, model=model)

    def _gradient(self, closures: Sequence[Closure], scaler: GradScaler | None) -> Any:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise LandscapeError("a captured CUDA graph would repeat one noise: call RandomPerturbation outside of it")
        first = self._replicas.rank * len(closures)
        loss = self._averaged([functools.partial(self._noisy, c, sample=i) for i, c in enumerate(closures, first)])
        self._steps += 1
        return loss

    def _noisy(self, closure: Closure, *, sample: int, average: bool) -> Any:
        """Set `p.grad` to the gradient of a closure at the weights with noise."""
        moved = [(p, group[self._radius]) for group in self.param_groups for p in group["params"] if p.requires_grad]
        weights = [p for p, _ in moved]
        seed = int(np.random.SeedSequence((self.seed, self._steps, sample)).generate_state(1, np.uint64)[0])
        generators = {device: torch.Generator(device).manual_seed(seed) for device in {p.device for p in weights}}
        with restored(weights, [torch.empty_like(p) for p in weights]):
            for p, gamma in moved:
                add_noise_(p, gamma, generators[p.device])
            return self._pass([closure], average=average)

    def _extra_state(self) -> dict[str, Any]:
        return {"steps": self._steps}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        self._steps = state.get("steps", 0)
