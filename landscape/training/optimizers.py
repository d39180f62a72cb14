"""The optimizer of a configuration: plain, or under SAM or random weight perturbation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer

from landscape.errors import LandscapeError
from landscape.training.config.parts import Optimization
from landscape.training.config.recipes import RECIPES, Recipe, ResolvedConfig
from landscape.training.sam import SAM, FriendlySAM, RandomPerturbation

Factory: TypeAlias = Callable[..., Optimizer]

FUSED = (SGD, Adam, AdamW)  # one kernel instead of one per operation and tensor, on every device of FUSED_DEVICES
FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


def make_optimizer(config: ResolvedConfig, model: nn.Module) -> Optimizer:
    """Return the optimizer of a configuration over the parameters of a model, which may be wrapped.

    Raises:
        LandscapeError: for an optimizer that does not exist, that needs closures, or that refuses its settings.
    """
    recipe = RECIPES[config.recipe]
    groups = _parameter_groups(config, model)
    base = _base(recipe, config, [p for group in groups for p in group["params"]])
    try:
        if recipe.method == "plain":
            return base(groups)
        if recipe.method == "rwp":
            return RandomPerturbation(
                groups, base, gamma=config.noise, seed=config.seed, max_norm=config.max_norm, model=model
            )
        sam = functools.partial(FriendlySAM, sigma=config.friendly) if config.friendly else SAM
        return sam(
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
    except (TypeError, ValueError) as error:
        name, reason = recipe.optimizer_name, " ".join(str(error).split())
        raise LandscapeError(f"{name} refuses the settings of recipe {config.recipe}: {reason}") from error


def _base(recipe: Recipe, config: ResolvedConfig, parameters: list[torch.Tensor]) -> Factory:
    """Return the recipe's optimizer as a function of parameter groups."""
    name = recipe.optimizer_name
    factory = getattr(torch.optim, name, None) if isinstance(recipe.optimizer, str) else recipe.optimizer
    if not callable(factory) or factory is LBFGS:
        raise LandscapeError(
            f"recipe {config.recipe} needs an optimizer of torch.optim that steps from one gradient, not {name!r}; "
            "take Adam, SGD or another"
        )
    settings: dict[str, Any] = {"lr": config.lr, **recipe.settings}
    if _accepts(factory, "weight_decay"):
        settings["weight_decay"] = config.weight_decay
    elif config.weight_decay:
        raise LandscapeError(f"{name} has no weight decay, got weight_decay {config.weight_decay:g}; set it to 0")
    if factory in FUSED and all(p.is_floating_point() and p.device.type in FUSED_DEVICES for p in parameters):
        settings["fused"] = True
    return functools.partial(factory, **settings)


def _accepts(function: Callable[..., Any], keyword: str) -> bool:
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _parameter_groups(config: Optimization, model: nn.Module) -> list[dict[str, Any]]:
    """Return one parameter group, or for `decay="weights"` those that decay and those that do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if config.decay == "all" or not config.weight_decay:
        return [{"params": parameters}]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
