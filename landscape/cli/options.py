"""Options that several commands share, as typed dataclasses that tyro turns into flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

from landscape.errors import LandscapeError


def _comma_separated(convert: Callable[[str], Any], metavar: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: tuple(convert(word) for word in words[0].split(",")),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(str(entry) for entry in value)],
    )


Names: TypeAlias = Annotated[tuple[str, ...], _comma_separated(str, "A,B,...")]
Numbers: TypeAlias = Annotated[tuple[float, ...], _comma_separated(float, "X,Y,...")]
Paths: TypeAlias = Positional[Annotated[tuple[str, ...], arg(metavar="FILE ...")]]
Text: TypeAlias = Annotated[str, arg(metavar="TEXT")]


@dataclass(frozen=True)
class DataOptions:
    """Which data, and how it becomes the model's input."""

    data: Annotated[str | None, arg(metavar="DATA")] = None
    """digits, cifar10, cifar100, svhn, folder:PATH, npz:FILE, or package.module:factory. By default what the
    checkpoint names."""
    image_size: int | None = None
    """Scale and crop the images of a folder to this side."""
    mean: Numbers | None = None
    """Mean per channel of images scaled to 0...1. By default the checkpoint's."""
    std: Numbers | None = None
    """Standard deviation per channel, with --mean."""
    no_normalize: bool = False
    """Pass images at 0...1, not normalized."""


@dataclass(frozen=True)
class AnalysisOptions(DataOptions):
    """What an analysis is of, and where its results go."""

    checkpoints: Paths = ()
    """Landscape checkpoints; with --model also weight files (.pt, .pth, .safetensors)."""
    model: Annotated[str | None, arg(metavar="MODULE:FACTORY")] = None
    """Your own model: package.module:factory or file.py:factory, or the name of one of ours."""
    model_args: Annotated[str, arg(metavar="JSON")] = "{}"
    """Arguments of the factory, a JSON object."""
    loss: Annotated[str, arg(metavar="LOSS")] = "cross_entropy"
    """cross_entropy, mse, or package.module:function of (outputs, targets)."""
    splits: Names = ("train",)
    """Splits of the data to measure; derivatives use the first."""
    subset: Annotated[str, arg(metavar="N|all")] = "2000"
    """Examples of each split: a stratified sample of this size, or all."""
    params: Annotated[str, arg(metavar="GLOBS")] = "*"
    """Parameters that move, as globs on their names: "layer3.*,fc.*"."""
    batchnorm: Literal["auto", "fixed", "recalibrated", "batch"] = "auto"
    """Statistics BatchNorm uses along a path. auto: the checkpoint's around one checkpoint, recalibrated between two."""
    seed: int = 0
    """Of the sample, the directions, the starting vectors and the perturbations."""
    device: str = "auto"
    """auto takes CUDA, else MPS, else the CPU."""
    out: Annotated[str | None, arg(metavar="F.h5")] = None
    """Analysis file; results are added to it. By default results/<names of the checkpoints>.h5."""
    name: Annotated[str | None, arg(metavar="NAME")] = None
    """Name of the result in the file."""
    overwrite: bool = False
    """Replace a result of that name."""
    json: bool = False
    """Print the result as JSON."""


def subset_size(text: str) -> int | None:
    """Return the number of a --subset option, None for "all".

    Raises:
        LandscapeError: for anything else than a positive number or "all".
    """
    if text == "all":
        return None
    if not text.isdigit() or int(text) == 0:
        raise LandscapeError(f"got --subset {text}; expected a positive number of examples, or all")
    return int(text)


def grid_size(text: str) -> tuple[int, int]:
    """Return the (x, y) counts of a --points option, "51" or "51x31".

    Raises:
        LandscapeError: for anything else.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() for part in parts):
        raise LandscapeError(f"got --points {text}; expected an odd number such as 51, or two such as 51x31 (x by y)")
    return int(parts[0]), int(parts[-1])


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a --model-args option.

    Raises:
        LandscapeError: for anything else.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise LandscapeError(
            f'got --model-args {text}; expected a JSON object such as {{"width": 2}} ({error})'
        ) from error
    if not isinstance(value, dict):
        raise LandscapeError(f'got --model-args {text}; expected a JSON object such as {{"width": 2}}')
    return value
