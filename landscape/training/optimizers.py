"""The optimizer of a configuration: torch's own, alone or under SAM or random weight perturbation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.training.recipes import RECIPES, TrainConfig
from landscape.training.sam import SAM, RandomPerturbation

Base: TypeAlias = Callable[..., Optimizer]


def make_optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    """Return the optimizer of a configuration whose settings are filled in, over a model that may be wrapped."""
    recipe = RECIPES[config.recipe]
    groups = _groups(config, model)
    base: Base = functools.partial(
        getattr(torch.optim, recipe.optimizer),
        lr=config.lr,
        weight_decay=config.weight_decay,
        fused=_fuses(p for group in groups for p in group["params"]),
        **recipe.settings,
    )
    if recipe.method == "plain":
        optimizer: Optimizer = base(groups)
        return optimizer
    if recipe.method == "rwp":
        assert config.noise is not None
        return RandomPerturbation(
            groups, base, gamma=config.noise, seed=config.seed, max_norm=config.max_norm, model=model
        )
    assert config.rho is not None
    assert config.p is not None
    assert config.adaptive is not None
    assert config.every is not None
    assert config.gsam_alpha is not None
    return SAM(
        groups,
        base,
        rho=config.rho,
        p=config.p,
        adaptive=config.adaptive,
        eta=config.eta,
        every=config.every,
        gsam_alpha=config.gsam_alpha,
        ascent=config.ascent,
        max_norm=config.max_norm,
        model=model,
    )


def _groups(config: TrainConfig, model: nn.Module) -> list[dict[str, Any]]:
    """Return the parameter groups: one, or with decay of weights only those that decay and those that do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.decay == "all" or not config.weight_decay:
        return [{"params": parameters}]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _fuses(parameters: Iterable[Tensor]) -> bool:
    """Whether torch has a fused step for these parameters (one kernel instead of one per operation and tensor)."""
    return all(p.is_floating_point() and p.device.type in {"cpu", "cuda", "mps"} for p in parameters)
