"""Recipes: an optimizer, a method around it, and the training settings that suit both; a registry open to users."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from torch.optim import Optimizer

from landscape.errors import LandscapeError
from landscape.training.config.initial_weights import InitialWeights
from landscape.training.config.parts import (
    Adaptive,
    Ascent,
    Compile,
    Computation,
    Decayed,
    Optimization,
    Perturbation,
    Precision,
    Regularization,
    ResolvedOptimization,
    ResolvedPerturbation,
    Validation,
)
from landscape.training.config.schedule import RhoSchedule, Schedule
from landscape.training.pipeline.augment import Augment

Method: TypeAlias = Literal["plain", "sam", "rwp"]
Average: TypeAlias = Literal["none", "swa", "ema"]


@dataclass(frozen=True)
class Recipe:
    """An optimizer, a method around it, and the training settings that suit both.

    A new recipe is one entry of `RECIPES`:

    >>> RECIPES["rmsprop"] = Recipe("RMSprop", {"lr": 3e-4}, {"alpha": 0.9})
    >>> TrainConfig(recipe="rmsprop").recipe
    'rmsprop'
    >>> del RECIPES["rmsprop"]

    Attributes:
        optimizer: class in `torch.optim` by name, or a function of parameter groups and keywords such as a class of
            your own.
        defaults: values of the settings of `TrainConfig` that are None.
        settings: keywords of the optimizer, besides lr and weight decay.
        method: where the gradient is taken: "plain" at the weights, "sam" and "rwp" at perturbed ones.
        average: weights that the run ends with: "none" the last, "swa" and "ema" averages.
        augment: value of "auto" in `TrainConfig.augment`.

    Raises:
        LandscapeError: for a default of a setting that always has a value of its own.
    """

    optimizer: str | Callable[..., Optimizer]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    method: Method = "plain"
    average: Average = "none"
    augment: Augment = "auto"

    def __post_init__(self) -> None:
        optional = [entry.name for entry in dataclasses.fields(TrainConfig) if entry.default is None]
        known = [name for name in optional if name != "start"]
        for name in self.defaults:
            if name not in known or name == "base_lr":
                raise LandscapeError(f"a recipe has no default of {name!r}; expected some of {', '.join(known)}")

    @property
    def optimizer_name(self) -> str:
        """Name of the optimizer, for provenance."""
        return self.optimizer if isinstance(self.optimizer, str) else getattr(self.optimizer, "__name__", "custom")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Computation, Validation, Regularization, Perturbation, Optimization):
    """Settings of a training run, all but the data; None takes the recipe's default.

    Settings of one idea are those of a base class: `Optimization`, `Ball` and `Perturbation` (SAM and its variants),
    `Regularization`, `Validation`, `Computation`. All are keywords here:

    >>> TrainConfig(recipe="sam", epochs=10, lr=0.01, rho=0.1).rho
    0.1

    Args:
        recipe: key of `RECIPES`, or for `train_pair` of `PAIRS`.
        model: name of an architecture.
        model_arguments: of the architecture, besides the classes and channels of the data.
        start: weights of a file; drawn from the seed if None.
        epochs: of the recipe; the base member of a pair trains for twice as many.
        batch_size: examples per step, of all processes together.
        seed: of the initial weights, the order of the examples and their augmentation.

    Raises:
        LandscapeError: for an invalid setting, by name.
    """

    recipe: str = "adam"
    model: str = "resnet20"
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    start: InitialWeights | None = None
    epochs: int = 30
    batch_size: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recipe not in {*RECIPES, *PAIRS}:
            raise LandscapeError(f"unknown recipe {self.recipe!r}; known: {', '.join([*RECIPES, *PAIRS])}")
        for name in ("epochs", "batch_size", "every", "sam_from", "micro_batch", "history_examples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise LandscapeError(f"{name} must be at least 1, not {value}")
        if self.sam_from > self.epochs:
            raise LandscapeError(f"sam_from {self.sam_from} is more than the {self.epochs} epochs; lower it")
        for name in ("seed", "cutout", "patience"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise LandscapeError(f"{name} must be at least 0, not {value}")
        for name in ("lr", "base_lr", "max_norm"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise LandscapeError(f"{name} must be a finite number above 0, not {value}")
        for name in ("rho", "rho_min", "weight_decay", "gsam_alpha", "noise", "brightness", "eta"):
            if (value := getattr(self, name)) is not None and not 0 <= value < math.inf:
                raise LandscapeError(f"{name} must be a finite number of at least 0, not {value}")
        if self.p is not None and not self.p > 1:
            raise LandscapeError(f"p must be above 1 (2, or inf), not {self.p}")
        for name in ("warmup", "label_smoothing", "ema_decay", "average_from", "hold_out"):
            if (value := getattr(self, name)) is not None and not 0 <= value < 1:
                raise LandscapeError(f"{name} must be a fraction from 0 to below 1, not {value}")
        if self.rho is not None and self.rho_min > self.rho:
            raise LandscapeError(f"rho_min {self.rho_min:g} is more than rho {self.rho:g}; lower it")
        if self.friendly is not None and not 0 <= self.friendly <= 1:
            raise LandscapeError(f"friendly must be a fraction from 0 to 1, not {self.friendly}")
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) is not None and value not in choices:
                raise LandscapeError(f"unknown {name} {value!r}; known: {', '.join(choices)}")

    def recorded(self) -> dict[str, Any]:
        """Return the settings as checkpoints and unfinished runs record them, JSON-able: `start` is a fingerprint."""
        inherited = (entry.name for entry in dataclasses.fields(self))
        settings = {name: getattr(self, name) for name in [*TrainConfig.__annotations__, *inherited]}
        arguments, start = dict(self.model_arguments), self.start and self.start.fingerprint
        return {**settings, "model_arguments": arguments, "start": start}


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "augment": get_args(Augment),
    "precision": get_args(Precision),
    "schedule": get_args(Schedule),
    "rho_schedule": get_args(RhoSchedule),
    "adaptive": get_args(Adaptive),
    "decay": get_args(Decayed),
    "ascent": get_args(Ascent),
    "compile": get_args(Compile),
}


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(ResolvedPerturbation, ResolvedOptimization, TrainConfig):
    """Settings of a run with nothing left open (see `resolve`); the values suit most recipes."""

    brightness: float = 0.0
    hold_out: float = 0.0
    patience: int = 0


def with_recipe_defaults(config: TrainConfig) -> ResolvedConfig:
    """Return the configuration of a single recipe with its defaults for the settings that are None.

    >>> with_recipe_defaults(TrainConfig(recipe="asam", lr=0.01)).rho
    0.5
    """
    values = {entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config)}
    given = {name: value for name, value in values.items() if value is not None}
    return ResolvedConfig(**{**RECIPES[config.recipe].defaults, **given})


ADAM = Recipe("Adam")  # torch's and the paper's defaults; its L2 term works poorly
ADAMW = Recipe("AdamW", {"weight_decay": 0.01})  # torch's: Loshchilov & Hutter 2019, arXiv:1711.05101
SGD = Recipe("SGD", {"lr": 0.1, "weight_decay": 5e-4}, {"momentum": 0.9, "nesterov": True})
# The protocol of the coursework this project started from, with Keras's defaults for the rest. Its early stopping used
# the test set; here it uses a validation split.
COURSEWORK = Recipe(
    "Adam",
    {"schedule": "plateau", "warmup": 0.0, "brightness": 0.5, "hold_out": 0.1, "patience": 10},
    {"eps": 1e-7},
    augment="crop",
)


def _variant(recipe: Recipe, **changes: Any) -> Recipe:
    defaults = {**recipe.defaults, **changes.pop("defaults", {})}
    return dataclasses.replace(recipe, defaults=defaults, **changes)


RECIPES: dict[str, Recipe] = {
    "adam": ADAM,
    "sam": _variant(ADAM, method="sam"),
    "asam": _variant(ADAM, method="sam", defaults={"adaptive": "all", "rho": 0.5}),  # Kwon et al.'s ρ
    "gsam": _variant(ADAM, method="sam", defaults={"gsam_alpha": 0.4}),  # Zhuang et al.'s α for ResNets
    "looksam": _variant(ADAM, method="sam", defaults={"every": 5}),
    "fsam": _variant(ADAM, method="sam", defaults={"friendly": 1.0}),  # Li et al.'s σ
    "rwp": _variant(ADAM, method="rwp"),
    "swa": _variant(ADAM, average="swa", defaults={"schedule": "swa"}),
    "ema": _variant(ADAM, average="ema"),
    "adamw": ADAMW,
    "sam-adamw": _variant(ADAMW, method="sam"),
    "sgd": SGD,
    "sam-sgd": _variant(SGD, method="sam"),
    "asam-sgd": _variant(SGD, method="sam", defaults={"adaptive": "all", "rho": 0.5}),
    "swa-sgd": _variant(SGD, average="swa", defaults={"schedule": "swa"}),
    "coursework-adam": COURSEWORK,
    "coursework-sam": _variant(COURSEWORK, method="sam"),
}

# SAM's run and its base's, which `train_pair` trains from the same initial weights.
PAIRS: dict[str, tuple[str, str]] = {
    "pair": ("sam", "adam"),
    "coursework": ("coursework-sam", "coursework-adam"),
}
