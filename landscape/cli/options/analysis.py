"""Options that several commands share, as typed dataclasses that tyro turns into flags.

Each group is a mixin; the order of a command's bases decides the order in its help, the last base first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

from landscape.errors import LandscapeError

BATCHNORM = (
    "Statistics of BatchNorm at each point: fixed (the checkpoint's), recalibrated, batch, or auto: fixed around one "
    "checkpoint, recalibrated between several and on planes of a run. Surfaces take several, a result each."
)
DEEPEST_JSON = 100  # brackets within brackets of --model-args; what walks through them has a stack


def _comma_separated(convert: Callable[[str], Any], metavar: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda texts: tuple(convert(text.strip()) for text in texts[0].split(",")),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(f"{entry}" for entry in value or ())],
    )


def default(text: str, metavar: str | None = None) -> Any:
    """Return the annotation of an option whose default is described by a text."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {text})")


def _one(convert: Callable[[str], Any], metavar: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda texts: convert(texts[0]),
        is_instance=lambda value: value is None or isinstance(value, int | float),
        str_from_instance=lambda value: [f"{value}"],
    )


Names: TypeAlias = Annotated[tuple[str, ...], _comma_separated(str, "A,B,...")]
OptionalNames: TypeAlias = Annotated[tuple[str, ...] | None, _comma_separated(str, "A,B,...")]
Numbers: TypeAlias = Annotated[tuple[float, ...], _comma_separated(float, "X,Y,...")]
OptionalNumber: TypeAlias = Annotated[float | None, _one(float, "X")]
OptionalCount: TypeAlias = Annotated[int | None, _one(int, "N")]
OptionalCounts: TypeAlias = Annotated[tuple[int, ...] | None, _comma_separated(int, "N,M,...")]
OptionalNumbers: TypeAlias = Annotated[tuple[float, ...] | None, _comma_separated(float, "X,Y,...")]
Paths: TypeAlias = Positional[Annotated[tuple[str, ...], arg(metavar="FILE ...", help_behavior_hint="")]]


@dataclass(frozen=True)
class DataOptions:
    """Data set, and its preprocessing."""

    data: Annotated[str | None, default("what the checkpoint was trained on", "DATA")] = None
    """digits, cifar10, cifar100, svhn, folder:PATH, npz:FILE, package.module:factory or file.py:factory."""
    image_size: Annotated[OptionalCount, default("their own")] = None
    """Scale and crop the images of a folder to this side."""
    normalize: Annotated[str | None, default("the checkpoint's", "MEAN/STD|none")] = None
    """Mean and deviation of each channel of images in 0...1, such as 0.5,0.5,0.5/0.2,0.2,0.2; none keeps 0...1."""


@dataclass(frozen=True)
class MeasureOptions:
    """Loss, examples and parameters."""

    splits: Names = ("train",)
    """Splits of the data to measure; sharpness and eigenvalues use the first."""
    subset: Annotated[str, arg(metavar="N|all")] = "2000"
    """Examples of each split: a stratified sample of this size, or all."""
    loss: Annotated[str, arg(metavar="LOSS")] = "cross_entropy"
    """cross_entropy, mse, or package.module:function of (outputs, targets)."""
    params: Annotated[str, arg(metavar="GLOBS")] = "*"
    """Parameters that move, as patterns of their names, such as 'layer3.*,fc.*'."""
    batchnorm: Annotated[str, arg(metavar="MODE", help=BATCHNORM)] = "auto"
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of the sample, the directions, the starting vectors and the perturbations."""
    device: Annotated[str, arg(metavar="NAME")] = "auto"
    """cpu, cuda, cuda:1, mps, ...; auto takes CUDA, else MPS, else the CPU."""


@dataclass(frozen=True)
class ModelOptions:
    """Model, if it is not the checkpoint's own."""

    model: Annotated[str | None, default("the checkpoint's", "MODULE:FACTORY")] = None
    """Your own model: package.module:factory or file.py:factory, or the name of one of ours."""
    model_args: Annotated[str, arg(metavar="JSON")] = "{}"
    """Arguments of the factory, a JSON object."""
    weights_key: Annotated[str | None, default("state_dict, model, ...", "KEY")] = None
    """With --model: the key of the weight file that holds the weights, such as model_ema."""


@dataclass(frozen=True)
class OutputOptions:
    """Destination of the results."""

    out: Annotated[str | None, default("results/<names of the checkpoints>.h5", "F.h5")] = None
    """Analysis file; results are added to it."""
    name: Annotated[str | None, default("plane, line, hessian, ...", "NAME")] = None
    """Name of the result in the file."""
    overwrite: bool = False
    """Compute again, and replace the result of that name."""
    json: bool = False
    """Print the result as JSON on stdout."""


@dataclass(frozen=True)
class AnalysisOptions(OutputOptions, ModelOptions, DataOptions, MeasureOptions):
    """Subject of an analysis, and destination of its results."""

    checkpoints: Paths = ()
    """Landscape checkpoints; with --model also weight files (.pt, .pth, .safetensors)."""


def expect(fits: bool, option: str, value: object, expected: str) -> None:
    """Check an option's value.

    Raises:
        LandscapeError: if it does not fit.
    """
    if not fits:
        raise LandscapeError(f"got {option} {value}; expected {expected}")


def expect_number(option: str, value: float, *, least: float = 0, above: bool = False) -> None:
    """Check that a number is finite and at least (or, with `above`, above) a bound.

    Raises:
        LandscapeError: if it is not.
    """
    fits = least < value < math.inf if above else least <= value < math.inf
    kind = "whole number" if isinstance(value, int) else "number"
    expect(fits, option, value, f"a {kind} {'above' if above else 'of at least'} {least:g}")


def expect_derivatives(options: MeasureOptions) -> None:
    """Check that the loss has derivatives.

    Raises:
        LandscapeError: for BatchNorm with the statistics of the batch, which makes a loss of whole batches.
    """
    fits = options.batchnorm in ("auto", "fixed", "recalibrated")
    expect(fits, "--batchnorm", options.batchnorm, "fixed or recalibrated, for derivatives")


def derivative_mode(options: MeasureOptions) -> Any:
    """Return the BatchNorm mode of derivatives: fixed unless another is asked for."""
    return "fixed" if options.batchnorm == "auto" else options.batchnorm


def subset_size(text: str) -> int | None:
    """Return the number of a --subset option, None for "all".

    Raises:
        LandscapeError: for anything else than a positive number or "all".
    """
    if text == "all":
        return None
    expect(text.isdecimal() and int(text) > 0, "--subset", text, "a positive number of examples, or all")
    return int(text)


def grid_size(text: str) -> tuple[int, int]:
    """Return the (x, y) counts of a --points option, "51" or "51x31".

    Raises:
        LandscapeError: for anything else.
    """
    parts = text.lower().split("x")
    fits = len(parts) <= 2 and all(part.isdecimal() for part in parts)
    expect(fits, "--points", text, "an odd number such as 51, or two such as 51x31 (x by y)")
    return int(parts[0]), int(parts[-1])


def normalization(text: str | None) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, bool]:
    """Return (mean, std, normalize) of a --normalize option, "0.5,0.5,0.5/0.2,0.2,0.2" or "none".

    Raises:
        LandscapeError: for anything else.
    """
    if text is None or text == "none":
        return None, None, text is None
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        raise LandscapeError(
            f"got --normalize {text}; expected means/standard deviations such as 0.5,0.5,0.5/0.2,0.2,0.2, or none"
        ) from None
    return mean, std, True


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a --model-args option.

    Raises:
        LandscapeError: for anything else.
    """
    deepest, depth = 0, 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    expect(deepest <= DEEPEST_JSON, "--model-args", f"nested {deepest} deep", f"at most {DEEPEST_JSON} levels")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LandscapeError(
            f'got --model-args {text}; expected a JSON object such as {{"width": 2}} ({error})'
        ) from error
    expect(isinstance(value, dict), "--model-args", text, 'a JSON object such as {"width": 2}')
    return dict(value)
