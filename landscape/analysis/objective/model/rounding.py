"""Rounding to bfloat16 by error diffusion: over the taps of a kernel, and over batches for biases."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

ROUNDINGS = 8  # of a bias, one for each batch in turn


def rounded_kernels(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return convolution weights (C_out, C_in, *kernel) in bfloat16, the rounding errors of each kernel adding up to 0.

    Errors diffuse from tap to tap, so that a kernel keeps its sum to half a unit in its last tap's last place.
    Adjacent pixels are nearly alike, and it is the sum of the errors that they see. The rounding of kernels is the
    larger part of the error of ResNet-20's loss in bfloat16, and this leaves a quarter of it.
    """
    by_taps: dict[int, list[str]] = {}
    for name, w in weights.items():
        by_taps.setdefault(w[0, 0].numel(), []).append(name)
    rounded: dict[str, Tensor] = {}
    for taps, names in by_taps.items():
        rows = torch.cat([weights[name].reshape(-1, taps) for name in names]).T.contiguous()  # one row for each tap
        parts = torch.split(_diffused(rows).T, [weights[name].numel() // taps for name in names])
        rounded.update((name, part.reshape(weights[name].shape)) for name, part in zip(names, parts, strict=True))
    return rounded


def rounded_biases(biases: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return copies of biases (at most 1-D) in bfloat16, for batches to use in turn.

    Errors diffuse from copy to copy, so that the mean of all copies is exact to a fraction of a unit in the last place.
    With one rounding the error would be the same everywhere on a surface, for biases do not move along
    filter-normalized directions. On the shipped ResNet-20s (1,000 images, batches of 125) the error of the loss falls
    from 0.5 and 0.7 to 0.2 and 0.3 % (root mean square over 13 points of three planes).
    """
    if not biases:
        return [{}]
    sizes = [b.numel() for b in biases.values()]
    rows = torch.cat([b.reshape(-1) for b in biases.values()]).repeat(ROUNDINGS, 1)
    return [
        {name: part.view(b.shape) for part, (name, b) in zip(torch.split(row, sizes), biases.items(), strict=True)}
        for row in _diffused(rows)
    ]


def _diffused(rows: Tensor) -> Tensor:
    """Round rows (T, N) to bfloat16, each taking over the rounding error of the row before.

    Source: error diffusion (Floyd & Steinberg 1976). `rows` is overwritten. Errors that are not finite are dropped.
    """
    rounded = rows.to(torch.bfloat16)
    for step in range(1, len(rows)):
        rows[step] += (rows[step - 1] - rounded[step - 1]).nan_to_num_(0.0, 0.0, 0.0)
        rounded[step] = rows[step]
    return rounded
