"""Recipes: which optimizer a name means, its default settings, and the learning rate at each step."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.errors import LandscapeError
from landscape.training.augment import Augment
from landscape.training.sam import SAM

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
Base: TypeAlias = Callable[..., Optimizer]


@dataclass(frozen=True)
class Recipe:
    """A base optimizer with defaults that suit it, and whether SAM goes over it."""

    optimizer: str  # name in torch.optim
    settings: Mapping[str, Any]  # beside the learning rate and the weight decay
    lr: float
    weight_decay: float
    sharpness_aware: bool = False

    @property
    def gradients(self) -> int:
        """Gradients per example and step."""
        return 2 if self.sharpness_aware else 1


ADAM = Recipe("Adam", {}, lr=1e-3, weight_decay=0.0)  # torch's and the paper's defaults; its L2 term works poorly
SGD = Recipe("SGD", {"momentum": 0.9, "nesterov": True}, lr=0.1, weight_decay=5e-4)
RECIPES: Mapping[str, Recipe] = {
    "adam": ADAM,
    "sam": dataclasses.replace(ADAM, sharpness_aware=True),
    "sgd": SGD,
    "sam-sgd": dataclasses.replace(SGD, sharpness_aware=True),
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, besides the data.

    Raises:
        LandscapeError: naming the first setting that cannot be.
    """

    recipe: str = "adam"  # "adam", "sam" (over Adam), "sgd", "sam-sgd", or for `train_pair` "pair"
    model: str = "resnet20"
    epochs: int = 30  # of the recipe; the Adam member of a pair trains for twice as many
    batch_size: int = 128
    lr: float | None = None  # peak learning rate; None: 1e-3 for Adam, 0.1 for SGD
    rho: float = 0.05  # radius of SAM's perturbation; without effect for adam and sgd
    weight_decay: float | None = None  # L2 term of the optimizer; None: 0 for Adam, 5e-4 for SGD
    warmup: float = 0.05  # fraction of all steps in which the learning rate rises linearly; then a cosine takes it to 0
    augment: Augment = "auto"
    precision: Precision = "auto"  # "auto": bfloat16 where a few timed steps show that it is faster
    seed: int = 0
    device: str = "auto"
    model_arguments: Mapping[str, Any] = field(default_factory=dict)  # beside the classes and channels of the data

    def __post_init__(self) -> None:
        if self.recipe not in {*RECIPES, "pair"}:
            raise LandscapeError(f"unknown recipe {self.recipe!r}; known: {', '.join([*RECIPES, 'pair'])}")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise LandscapeError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0:
            raise LandscapeError(f"seed must be at least 0, not {self.seed}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise LandscapeError(f"lr must be a finite number above 0, not {self.lr}")
        for name in ("rho", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise LandscapeError(f"{name} must be a finite number of at least 0, not {value}")
        if not 0 <= self.warmup < 1:
            raise LandscapeError(f"warmup must be a fraction of the steps from 0 to below 1, not {self.warmup}")
        for name, choices in (("augment", get_args(Augment)), ("precision", get_args(Precision))):
            if getattr(self, name) not in choices:
                raise LandscapeError(f"unknown {name} {getattr(self, name)!r}; known: {', '.join(choices)}")


def make_optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    """Return the optimizer of a configuration whose learning rate and weight decay are filled in."""
    recipe = RECIPES[config.recipe]
    parameters = [p for p in model.parameters() if p.requires_grad]
    base: Base = functools.partial(
        getattr(torch.optim, recipe.optimizer),
        lr=config.lr,
        weight_decay=config.weight_decay,
        fused=_fuses(parameters),
        **recipe.settings,
    )
    return SAM(parameters, base, rho=config.rho, model=model) if recipe.sharpness_aware else base(parameters)


def _fuses(parameters: Iterable[Tensor]) -> bool:
    """Whether torch has a fused step for these parameters (one kernel instead of one per operation and tensor)."""
    return all(p.is_floating_point() and p.device.type in {"cpu", "cuda", "mps"} for p in parameters)


def learning_rate(peak: float, *, step: int, steps: int, warmup: float) -> float:
    """Return the learning rate of step 0 … steps − 1: a linear rise over the warm-up, then half a cosine towards 0."""
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
