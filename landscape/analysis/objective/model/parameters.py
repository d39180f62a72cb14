"""The parameters of a model that move."""

from __future__ import annotations

import fnmatch

from torch import nn

from landscape.analysis.objective.data.nested import Weights
from landscape.errors import LandscapeError


def moving_parameters(model: nn.Module, pattern: str = "*") -> Weights:
    """Return the trainable parameters whose names match a comma-separated list of globs.

    Tied parameters appear once, under their first name. Frozen parameters (`requires_grad=False`) never move, and those
    of size 0 have nothing to move.

    Raises:
        LandscapeError: if nothing matches, all are frozen, or one that matches is complex.
    """
    globs = [glob.strip() for glob in pattern.split(",")]
    trainable = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad and p.numel()}
    if not trainable:
        if not any(True for _ in model.parameters()):
            raise LandscapeError("no trainable parameter: the model has none at all; expected at least one to move")
        raise LandscapeError(
            "no trainable parameter: the model's are all frozen (requires_grad is False); unfreeze those that are to "
            "move, or all with model.requires_grad_(True)"
        )
    chosen = {n: p for n, p in trainable.items() if any(fnmatch.fnmatchcase(n, glob) for glob in globs)}
    if not chosen:
        some = ", ".join(list(trainable)[:3])
        raise LandscapeError(f"no trainable parameter matches {pattern!r}; the model's are named like: {some}")
    for name, parameter in chosen.items():
        if not parameter.is_floating_point():
            raise LandscapeError(
                f"the parameter {name!r} is of type {str(parameter.dtype).removeprefix('torch.')}; expected real "
                "numbers: store the real and imaginary parts as one real parameter (torch.view_as_complex in the "
                "forward pass), freeze it, or leave it out with params"
            )
    return chosen
