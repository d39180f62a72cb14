"""Sharpness-aware minimization over any first-order torch optimizer: SAM, ASAM, m-SAM, LookSAM and GSAM."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from landscape.errors import LandscapeError
from landscape.training.sam.displaced import Base, Closure, DisplacedOptimizer, Parameters
from landscape.training.sam.gradients import add_multiple_, add_rescaled_, coalesce_, multiply_, projection
from landscape.training.sam.passes import RandomStates, frozen_statistics, random_states, restored, set_random_states
from landscape.training.sam.perturbation import add_, dual_ascent

Adaptive: TypeAlias = Literal["none", "all", "weights-only"]
Ascent: TypeAlias = Literal["local", "process", "global"]


class SAM(DisplacedOptimizer):
    """SAM as an optimizer: the gradient at `w + ε̂`, ε̂ = ρ g / ‖g‖₂ by default, then one step of the base from `w`.

    The norm is over the gradients of all parameters together, without weight decay. Parameters without a gradient do
    not move, and a zero gradient gives a zero perturbation. `w` is restored bit for bit before the base steps, from a
    copy that exists only during the step. `param_groups` and `state` are those of the base, so that schedulers and
    `state_dict` work on either; `rho` is an entry of each group, and can be scheduled like the learning rate. (If the
    base has a setting `rho` too, such as Adadelta, the entry is `perturbation_rho`.)

    >>> w = nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = SAM([w], functools.partial(torch.optim.SGD, lr=0.1), rho=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = w.square().sum() / 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    12.5
    >>> [round(value, 2) for value in w.tolist()]  # w − 0.1 (w + 0.5 w / 5)
    [2.67, 3.56]

    Both passes use the same random numbers of torch (dropout), and the generators end as after one pass; inside a
    captured CUDA graph the passes draw different ones. Given `model`, the running statistics of its BatchNorm layers
    are updated in the first pass only. A step waits for the device only with a gradient scaler.

    Several closures are the micro-batches of one step. With `ascent="local"` that is m-SAM, with "global" plain
    gradient accumulation. GSAM and LookSAM decompose the mean gradients of the whole step. They hold one more copy
    of the parameters than SAM, and several closures another one, the sum of their gradients.

    Args:
        params: parameters or groups of them; a group may set `rho`.
        base: function from the groups to the base optimizer: `functools.partial(torch.optim.SGD, lr=0.1)`.
        rho: radius of the perturbation. 0 still runs both passes, and equals the base bit for bit.
        p: norm of the ball, above 1 or infinity: ε̂ = ρ sign(g) |g|^(q−1) / (‖g‖_q^q)^(1/p), 1/p + 1/q = 1 (Foret et
            al. 2021, arXiv:2010.01412, eq. 2).
        adaptive: ASAM (Kwon et al. 2021, arXiv:2102.11600), which scales the ball by T = |w| + η: for p = 2
            ε̂ = ρ T² g / ‖T g‖₂. "all" parameters, or as in the authors' code "weights-only", those with "weight" in
            their name, with T = 1 for the others.
        eta: η of ASAM.
        every: LookSAM (Liu et al. 2022, arXiv:2203.02714, Algorithm 1): only each k-th step takes SAM's gradient g_s
            and keeps g_v, its part orthogonal to g; those between take g + α (‖g‖ / ‖g_v‖) g_v from one pass.
        looksam_alpha: α of LookSAM.
        gsam_alpha: α of GSAM (Zhuang et al. 2022, arXiv:2203.08065, Algorithm 1): the step takes g_s − α g_⊥, with g_⊥
            the part of g orthogonal to g_s. The paper schedules ρ, which the groups allow.
        ascent: gradient of the perturbation: "local", of each closure of each process; "process", the mean over the
            closures of the process; "global", the mean over those of all processes.
        max_norm: clips the gradient of the step, as torch's `clip_grad_norm_` does; None does not clip.
        model: module whose BatchNorm layers keep their running statistics in the second pass. It also gives the names
            for "weights-only" and, if wrapped in a DistributedDataParallel, the process group.

    Raises:
        LandscapeError: for an invalid value, and for a step without a closure.
    """

    _radius = "rho"

    def __init__(
        self,
        params: Parameters,
        base: Base,
        *,
        rho: float = 0.05,
        p: float = 2.0,
        adaptive: Adaptive = "none",
        eta: float = 0.01,
        every: int = 1,
        looksam_alpha: float = 0.7,
        gsam_alpha: float = 0.0,
        ascent: Ascent = "local",
        max_norm: float | None = None,
        model: nn.Module | None = None,
    ) -> None:
        _check(p=p, adaptive=adaptive, eta=eta, every=every, alphas=(looksam_alpha, gsam_alpha), ascent=ascent)
        self.p, self.adaptive, self.eta = float(p), adaptive, eta
        self.every, self.looksam_alpha, self.gsam_alpha, self.ascent = every, looksam_alpha, gsam_alpha, ascent
        if every > 1 and gsam_alpha:
            raise LandscapeError(
                f"every = {every} (LookSAM) and gsam_alpha = {gsam_alpha} (GSAM) change the same gradient: take one"
            )
        named = model.named_parameters() if adaptive == "weights-only" and model is not None else ()
        self._names = {q: name for name, q in named}
        self._adaptive: set[Tensor] = set()
        self._steps = 0
        self._reused: dict[Tensor, Tensor] | None = None  # LookSAM's g_v
        super().__init__(params, base, radius=rho, max_norm=max_norm, model=model)

    def _gradient(self, closures: Sequence[Closure], scaler: GradScaler | None) -> Any:
        refresh = self._reused is None or self._steps % self.every == 0
        loss = self._ascended(closures, scaler) if refresh else self._along_reused(closures)
        self._steps += 1
        return loss

    def _ascended(self, closures: Sequence[Closure], scaler: GradScaler | None) -> Any:
        """Set `p.grad` to SAM's gradient or GSAM's; store LookSAM's component of it."""
        self._reused = None  # frees its memory for the new one
        plain: dict[Tensor, Tensor] | None = {} if self.every > 1 or self.gsam_alpha else None
        rounds = [[closure] for closure in closures] if self.ascent == "local" else [closures]
        loss = self._averaged([functools.partial(self._round, r, scaler=scaler, plain=plain) for r in rounds])
        if plain and not self._overflowed(scaler):
            self._decompose(plain, len(rounds))
        return loss

    def _round(
        self,
        closures: Sequence[Closure],
        *,
        average: bool,
        scaler: GradScaler | None,
        plain: dict[Tensor, Tensor] | None,
    ) -> Any:
        """Set `p.grad` to the gradient at the perturbed point; add the closures' mean gradient to `plain`."""
        before = self._random_states()
        loss = self._pass(closures, average=self.ascent == "global")
        if self._overflowed(scaler):
            return loss
        after = self._random_states()
        coalesce_(self._parameters())
        moved = [(q, group[self._radius]) for group in self.param_groups for q in group["params"] if q.grad is not None]
        weights = [q for q, _ in moved]
        if plain is not None:
            _add_gradients(plain, weights)
        copies = [torch.empty_like(q) for q in weights]
        steps = self._perturbation(weights, [rho for _, rho in moved], copies)
        try:
            with restored(weights, copies):
                add_(weights, steps)
                del steps
                _clear_gradients(weights)
                set_random_states(before)
                with frozen_statistics(self._batchnorms):
                    self._pass(closures, average=average)
        finally:
            set_random_states(after)
        return loss

    def _perturbation(self, weights: list[Tensor], rhos: list[float], scratch: list[Tensor]) -> list[Tensor]:
        gradients = self._ascent_gradients(weights)
        adaptive = [q in self._adaptive for q in weights]
        return dual_ascent(weights, gradients, rhos, adaptive, scratch, p=self.p, eta=self.eta)

    def _ascent_gradients(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return the gradients that the perturbation follows, which it may overwrite."""
        return [q.grad for q in weights if q.grad is not None]

    def _decompose(self, plain: dict[Tensor, Tensor], rounds: int) -> None:
        """Turn SAM's gradient into GSAM's, or store its component that LookSAM reuses, given the plain gradient."""
        weights, gradients = list(plain), list(plain.values())
        if rounds > 1:
            torch._foreach_div_(gradients, rounds)
        if self.ascent != "global":
            self._replicas.average_(gradients)
        for q in weights:
            q.grad = torch.zeros_like(q) if q.grad is None else q.grad
        sharp = [q.grad for q in weights if q.grad is not None]
        if self.gsam_alpha:
            add_multiple_(gradients, sharp, -projection(gradients, sharp))
            torch._foreach_add_(sharp, gradients, alpha=-self.gsam_alpha)
        else:
            multiply_(gradients, -projection(sharp, gradients))
            torch._foreach_add_(gradients, sharp)
            self._reused = plain

    def _along_reused(self, closures: Sequence[Closure]) -> Any:
        """Set `p.grad` to LookSAM's gradient of the steps in between, from one pass."""
        loss = self._pass(closures, average=True)
        assert self._reused is not None
        weights = [q for q in self._reused if q.grad is not None]
        if weights:
            gradients = [q.grad for q in weights if q.grad is not None]
            add_rescaled_(gradients, [self._reused[q] for q in weights], self.looksam_alpha)
        return loss

    def _random_states(self) -> RandomStates:
        return random_states({q.device for q in self._parameters()})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, to the base too."""
        params = param_group["params"]
        param_group["params"] = [params] if isinstance(params, Tensor) else list(params)
        adaptive = self._scaled(param_group)
        super().add_param_group(param_group)
        self._adaptive |= adaptive

    def _scaled(self, param_group: dict[str, Any]) -> set[Tensor]:
        """Return the parameters of the group for which T is |w| + η."""
        entries = param_group["params"]  # parameters, or tuples of names and parameters
        params = [q[1] if isinstance(q, tuple) else q for q in entries]
        if self.adaptive != "weights-only":
            return set(params) if self.adaptive == "all" else set()
        names = param_group.get("param_names") or [
            q[0] if isinstance(q, tuple) else self._names.get(q) for q in entries
        ]
        if None in names:
            raise LandscapeError(
                'adaptive = "weights-only" needs the names of the parameters, and one has none: pass model=, or '
                "model.named_parameters() instead of model.parameters()"
            )
        return {q for q, name in zip(params, names, strict=True) if "weight" in name}

    def _extra_state(self) -> dict[str, Any]:
        if self.every == 1:
            return {}
        reused = self._reused or {}
        return {"steps": self._steps, "reused": {i: reused[q] for i, q in enumerate(self._parameters()) if q in reused}}

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        params, reused = self._parameters(), state.get("reused", {})
        self._steps = state.get("steps", 0)
        self._reused = {params[i]: g.to(params[i]) for i, g in reused.items()} or None


def _add_gradients(sums: dict[Tensor, Tensor], weights: Sequence[Tensor]) -> None:
    """Add copies of the gradients to the sums."""
    for q in weights:
        assert q.grad is not None
        if q.grad.is_sparse:
            raise LandscapeError("LookSAM (every) and GSAM (gsam_alpha) take no sparse gradients: set sparse=False")
        sums[q] = sums[q].add_(q.grad) if q in sums else q.grad.clone()


def _clear_gradients(weights: Sequence[Tensor]) -> None:
    """Set the gradients to zero in place, since the closure may clear them with `set_to_none=False`."""
    for q in weights:
        if q.grad is not None and q.grad.is_sparse:
            q.grad = None
    dense = [q.grad for q in weights if q.grad is not None]
    if dense:
        torch._foreach_zero_(dense)


def _check(*, p: float, adaptive: str, eta: float, every: int, alphas: tuple[float, float], ascent: str) -> None:
    if not p > 1:
        raise LandscapeError(f"p must be above 1, or math.inf, not {p}: the dual of the 1-norm is no gradient step")
    if not 0 <= eta < math.inf:
        raise LandscapeError(f"eta must be a finite number of at least 0, not {eta}; the paper's is 0.01")
    if every < 1 or every != int(every):
        raise LandscapeError(
            f"every must be a whole number of at least 1, not {every}; 1 takes SAM's gradient each step"
        )
    for name, alpha in zip(("looksam_alpha", "gsam_alpha"), alphas, strict=True):
        if not 0 <= alpha < math.inf:
            raise LandscapeError(f"{name} must be a finite number of at least 0, not {alpha}")
    for name, value, choices in (("adaptive", adaptive, get_args(Adaptive)), ("ascent", ascent, get_args(Ascent))):
        if value not in choices:
            raise LandscapeError(f"unknown {name} {value!r}; known: {', '.join(choices)}")
