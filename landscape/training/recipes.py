"""Recipes: which optimizer a name means, what goes over it, and the settings that suit it where none are given."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from landscape.errors import LandscapeError
from landscape.training.pipeline.augment import Augment
from landscape.training.schedule import Schedule

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Method: TypeAlias = Literal["plain", "sam", "rwp"]
Average: TypeAlias = Literal["none", "swa", "ema"]
Adaptive: TypeAlias = Literal["none", "all", "weights-only"]
Decayed: TypeAlias = Literal["all", "weights"]
Ascent: TypeAlias = Literal["local", "process", "global"]
Compile: TypeAlias = Literal["auto", "on", "off"]

PAIRS: Mapping[str, tuple[str, str]] = {
    "pair": ("sam", "adam"),
    "coursework": ("coursework-sam", "coursework-adam"),
}


@dataclass(frozen=True)
class Recipe:
    """A base optimizer, what goes over it, and the settings of `TrainConfig` that suit it."""

    optimizer: str  # name in torch.optim
    defaults: Mapping[str, Any]  # for the settings of `TrainConfig` that are None
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the optimizer, beside lr and weight decay
    method: Method = "plain"
    average: Average = "none"
    augment: Augment = "auto"

    def value(self, name: str) -> Any:
        """Return this recipe's default of a setting."""
        return self.defaults.get(name, COMMON[name])


# What suits most recipes; None in `TrainConfig` means the recipe's own value, or else this.
COMMON: Mapping[str, Any] = {
    "lr": 1e-3,
    "weight_decay": 0.0,
    "rho": 0.05,
    "p": 2.0,
    "adaptive": "none",
    "every": 1,
    "gsam_alpha": 0.0,
    "noise": 0.01,
    "schedule": "cosine",
    "warmup": 0.05,
    "brightness": 0.0,
    "hold_out": 0.0,
    "patience": 0,
}
ADAM = Recipe("Adam", {})  # torch's and the paper's defaults; its L2 term works poorly
SGD = Recipe("SGD", {"lr": 0.1, "weight_decay": 5e-4}, {"momentum": 0.9, "nesterov": True})
# The protocol of the coursework this project started from (Keras's defaults for what it leaves open), but for its use
# of the test set to stop and to choose: here a validation split does that.
COURSEWORK = Recipe(
    "Adam",
    {"schedule": "plateau", "warmup": 0.0, "brightness": 0.5, "hold_out": 0.1, "patience": 10},
    {"eps": 1e-7},
    augment="crop",
)


def _over(recipe: Recipe, **changes: Any) -> Recipe:
    defaults = {**recipe.defaults, **changes.pop("defaults", {})}
    return dataclasses.replace(recipe, defaults=defaults, **changes)


RECIPES: Mapping[str, Recipe] = {
    "adam": ADAM,
    "sam": _over(ADAM, method="sam"),
    "asam": _over(ADAM, method="sam", defaults={"adaptive": "all", "rho": 0.5}),  # Kwon et al.'s ρ
    "gsam": _over(ADAM, method="sam", defaults={"gsam_alpha": 0.4}),  # Zhuang et al.'s α for ResNets
    "looksam": _over(ADAM, method="sam", defaults={"every": 5}),
    "rwp": _over(ADAM, method="rwp"),
    "swa": _over(ADAM, average="swa", defaults={"schedule": "swa"}),
    "ema": _over(ADAM, average="ema"),
    "sgd": SGD,
    "sam-sgd": _over(SGD, method="sam"),
    "asam-sgd": _over(SGD, method="sam", defaults={"adaptive": "all", "rho": 0.5}),
    "swa-sgd": _over(SGD, average="swa", defaults={"schedule": "swa"}),
    "coursework-adam": COURSEWORK,
    "coursework-sam": _over(COURSEWORK, method="sam"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, besides the data; None means the recipe's own default.

    Raises:
        LandscapeError: naming the first setting that cannot be.
    """

    recipe: str = "adam"  # a key of RECIPES, or for `train_pair` of PAIRS
    model: str = "resnet20"
    epochs: int = 30  # of the recipe; the base member of a pair trains for twice as many
    batch_size: int = 128  # examples per step, of all processes together
    lr: float | None = None  # peak learning rate
    base_lr: float | None = None  # of a pair's base, where each is tuned for itself; None: `lr`
    schedule: Schedule | None = None
    warmup: float | None = None  # fraction of all steps in which the learning rate rises linearly
    weight_decay: float | None = None  # L2 term of the optimizer
    decay: Decayed = "all"  # "weights": only parameters of two and more dimensions decay
    rho: float | None = None  # radius of SAM's perturbation
    p: float | None = None  # its norm
    adaptive: Adaptive | None = None  # ASAM, and what it scales
    eta: float = 0.01  # ASAM's
    every: int | None = None  # LookSAM: a perturbed gradient every so many steps
    gsam_alpha: float | None = None  # GSAM's weight of the orthogonal part
    micro_batch: int | None = None  # examples per ascent (m-SAM); None: the batch of a process
    ascent: Ascent = "local"  # a perturbation per micro-batch, per process, or one from the gradient of the whole batch
    noise: float | None = None  # relative size of the random weight perturbation of "rwp"
    ema_decay: float = 0.999
    average_from: float = 0.75  # fraction of the epochs after which "swa" averages
    label_smoothing: float = 0.0
    max_norm: float | None = None  # gradients are clipped to this norm
    augment: Augment = "auto"
    cutout: int = 0  # side of the square that is blanked, in pixels
    brightness: float | None = None  # each image gets a constant of up to this added, of pixels scaled to 0…1
    hold_out: float | None = None  # fraction of the training examples that is moved to a validation split
    patience: int | None = None  # epochs without a lower validation loss before the best weights are taken; 0: never
    history_examples: int = 5000  # training examples behind the history's train loss, but for the last epoch's
    precision: Precision = "auto"  # "auto": bfloat16 where a few timed steps show that it is faster
    compile: Compile = "auto"  # torch.compile; "auto": for long runs on one GPU
    seed: int = 0
    device: str = "auto"
    model_arguments: Mapping[str, Any] = field(default_factory=dict)  # beside the classes and channels of the data

    def __post_init__(self) -> None:
        if self.recipe not in {*RECIPES, *PAIRS}:
            raise LandscapeError(f"unknown recipe {self.recipe!r}; known: {', '.join([*RECIPES, *PAIRS])}")
        for name in ("epochs", "batch_size", "every", "micro_batch", "history_examples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise LandscapeError(f"{name} must be at least 1, not {value}")
        for name in ("seed", "cutout", "patience"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise LandscapeError(f"{name} must be at least 0, not {value}")
        for name in ("lr", "base_lr", "max_norm"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise LandscapeError(f"{name} must be a finite number above 0, not {value}")
        for name in ("rho", "weight_decay", "gsam_alpha", "noise", "brightness", "eta"):
            if (value := getattr(self, name)) is not None and not 0 <= value < math.inf:
                raise LandscapeError(f"{name} must be a finite number of at least 0, not {value}")
        if self.p is not None and not self.p > 1:
            raise LandscapeError(f"p must be above 1 (2, or inf), not {self.p}")
        for name in ("warmup", "label_smoothing", "ema_decay", "average_from", "hold_out"):
            if (value := getattr(self, name)) is not None and not 0 <= value < 1:
                raise LandscapeError(f"{name} must be a fraction from 0 to below 1, not {value}")
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) is not None and value not in choices:
                raise LandscapeError(f"unknown {name} {value!r}; known: {', '.join(choices)}")


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "augment": get_args(Augment),
    "precision": get_args(Precision),
    "schedule": get_args(Schedule),
    "adaptive": get_args(Adaptive),
    "decay": get_args(Decayed),
    "ascent": get_args(Ascent),
    "compile": get_args(Compile),
}


def filled_in(config: TrainConfig) -> TrainConfig:
    """Return the configuration of one recipe with its defaults where settings were None."""
    recipe = RECIPES[config.recipe]
    return dataclasses.replace(config, **{name: recipe.value(name) for name in COMMON if getattr(config, name) is None})
