"""Parts of a training configuration, one idea each; None takes the recipe's default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from landscape.training.config.schedule import RhoSchedule, Schedule
from landscape.training.pipeline.augment import Augment

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Adaptive: TypeAlias = Literal["none", "all", "weights-only"]
Decayed: TypeAlias = Literal["all", "weights"]
Ascent: TypeAlias = Literal["local", "process", "global"]
Compile: TypeAlias = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Learning rate, weight decay, clipping, and averaging of the weights.

    Args:
        lr: peak learning rate.
        base_lr: peak learning rate of the base of a pair, if tuned separately; `lr` if None.
        schedule: of the learning rate after the warm-up, see `learning_rate`.
        warmup: fraction of all steps in which the learning rate rises linearly.
        weight_decay: L2 term of the optimizer.
        decay: parameters that decay: "all", or "weights", those of two or more dimensions.
        max_norm: norm to which gradients are clipped; None for no clipping.
        ema_decay: decay per step of the average of recipe "ema".
        average_from: fraction of the epochs after which recipe "swa" averages.
    """

    lr: float | None = None
    base_lr: float | None = None
    schedule: Schedule | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    decay: Decayed = "all"
    max_norm: float | None = None
    ema_decay: float = 0.999
    average_from: float = 0.75


@dataclass(frozen=True, kw_only=True)
class Ball:
    """Neighbourhood of the weights in which SAM ascends.

    Args:
        rho: radius.
        p: of its norm, above 1.
        adaptive: parameters whose perturbation ASAM scales.
        eta: of ASAM, added to |w|.
        rho_schedule: of the radius, see `perturbation_radius`: "constant", in proportion to the learning rate ("lr", as
            in GSAM), or "linear", rising from `rho_min` to `rho`.
        rho_min: radius at the low end of the schedule.
    """

    rho: float | None = None
    p: float | None = None
    adaptive: Adaptive | None = None
    eta: float = 0.01
    rho_schedule: RhoSchedule = "constant"
    rho_min: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Perturbation(Ball):
    """Point at which the gradient is taken: by SAM and its variants, or at random.

    Args:
        every: of LookSAM, which takes a perturbed gradient every so many steps.
        gsam_alpha: weight of GSAM's orthogonal part.
        friendly: of Friendly SAM, the share of the averaged gradient that the perturbation leaves out; 0 for SAM.
        sam_from: first epoch of SAM's gradient; those before take the base optimizer's.
        micro_batch: examples per ascent (m-SAM); the batch of a process if None.
        ascent: scope of one perturbation: a micro-batch ("local"), a "process", or the whole batch ("global").
        noise: relative standard deviation of the perturbation of recipe "rwp".
    """

    every: int | None = None
    gsam_alpha: float | None = None
    friendly: float | None = None
    sam_from: int = 1
    micro_batch: int | None = None
    ascent: Ascent = "local"
    noise: float | None = None


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Augmentation of the images and smoothing of the labels.

    Args:
        augment: "crop-flip", "crop", "none", or "auto" for what suits the recipe and the data.
        cutout: side of the blanked square, in pixels.
        brightness: maximum constant added to an image scaled to [0, 1].
        label_smoothing: fraction of each label spread over all classes.
    """

    augment: Augment = "auto"
    cutout: int = 0
    brightness: float | None = None
    label_smoothing: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Examples that are held out, early stopping, and the losses of the history.

    Args:
        hold_out: fraction of the training examples moved to a validation split.
        patience: epochs without a lower validation loss before early stopping; 0 for never.
        history_examples: training examples of the train loss in the history; the last epoch takes all.
    """

    hold_out: float | None = None
    patience: int | None = None
    history_examples: int = 5000


@dataclass(frozen=True, kw_only=True)
class Computation:
    """Arithmetic and device of the training steps.

    Args:
        precision: of the passes; "auto" takes bfloat16 if a few timed steps are faster in it.
        compile: of the steps by `torch.compile`; "auto" for long runs on one GPU.
        device: "cpu", "cuda", ...; "auto" for CUDA, else MPS, else the CPU.
    """

    precision: Precision = "auto"
    compile: Compile = "auto"
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class ResolvedOptimization(Optimization):
    """Optimization with nothing left open; the values suit most recipes."""

    lr: float = 1e-3
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ResolvedPerturbation(Perturbation):
    """Perturbation with nothing left open; the values suit most recipes."""

    rho: float = 0.05
    p: float = 2.0
    adaptive: Adaptive = "none"
    every: int = 1
    gsam_alpha: float = 0.0
    friendly: float = 0.0
    noise: float = 0.01
