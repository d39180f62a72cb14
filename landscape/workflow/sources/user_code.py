"""Models and losses of the user's own: `--model package.module:factory`, `--loss package.module:function`."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape.analysis.objective.losses import LOSSES, Loss, Metric
from landscape.errors import LandscapeError
from landscape.import_object import import_object
from landscape.models import MODELS, build
from landscape.models.checkpoint import Checkpoint, build_model
from landscape.models.state_dict import load_state
from landscape.models.weight_files import load_weights
from landscape.workflow.sources.specs import ModelSpec


def load_loss(name: str) -> str | Loss:
    """Return the loss that a --loss option names.

    Raises:
        LandscapeError: for an unknown name, and what `import_object` raises.
    """
    if name in LOSSES:
        return name
    if ":" not in name:
        raise LandscapeError(f"unknown loss {name!r}; expected {', '.join(LOSSES)} or package.module:function")
    imported: Any = import_object(name)
    if not callable(imported):
        raise LandscapeError(f"{name} is {type(imported).__name__}; expected a function of (outputs, targets)")
    loss: Loss = imported
    return loss


def load_metrics(names: Sequence[str] | None) -> dict[str, Metric]:
    """Return the metrics that a --metrics option names, by the functions' own names.

    Raises:
        LandscapeError: for two of one name, something that is no function, and what `import_object` raises.
    """
    metrics: dict[str, Metric] = {}
    for spec in names or ():
        imported: Any = import_object(spec)
        if not callable(imported):
            raise LandscapeError(f"{spec} is {type(imported).__name__}; expected a function of (outputs, targets)")
        name = spec.rpartition(":")[2].rpartition(".")[2]
        if name in metrics:
            raise LandscapeError(f"two of --metrics are called {name}; rename one of the functions")
        metrics[name] = imported
    return metrics


def load_model(spec: ModelSpec, path: Path, checkpoint: Checkpoint | None) -> tuple[nn.Module, list[str]]:
    """Return the model with the weights of a file, in evaluation mode, and notes on how the weights were read.

    Args:
        spec: architecture, if it is not the checkpoint's own.
        path: the file.
        checkpoint: what it holds; None for foreign weights.

    Raises:
        LandscapeError: if the model cannot be made, or the weights do not fit it.
    """
    if checkpoint is not None and spec.weights_key is not None:
        raise LandscapeError(f"{path} is a landscape checkpoint, whose weights have one key; omit --weights-key")
    if spec.name is None and checkpoint is not None:
        return build_model(checkpoint), []
    model = _user_model(spec.name or "", spec.arguments)
    if checkpoint is not None:
        load_state(model, checkpoint.state)
        return model.eval(), []
    state, notes = load_weights(path, names=list(model.state_dict()), key=spec.weights_key)
    load_state(model, state)
    return model.eval(), notes


def _user_model(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        if name in MODELS:
            return build(name, **arguments)
        if ":" not in name:
            known = ", ".join(MODELS)
            raise LandscapeError(
                f"unknown model {name!r}; expected package.module:factory, file.py:factory, or {known}"
            )
        factory: Any = import_object(name)
        if isinstance(factory, nn.Module):
            return copy.deepcopy(factory)
        if not callable(factory):
            raise LandscapeError(f"{name} is {type(factory).__name__}; expected a function that makes a model")
        _check_arguments(name, factory, arguments)
        with explained(name):
            model: object = factory(**arguments)
    if not isinstance(model, nn.Module):
        raise LandscapeError(f"{name} returned {type(model).__name__}; expected a torch.nn.Module")
    return model


def _check_arguments(name: str, factory: Callable[..., object], arguments: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # it has none to be read
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise LandscapeError(f"{name} takes {signature}: {error}; give --model-args as JSON") from error


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what a user's own code raises into one line that says where."""
    try:
        yield
    except LandscapeError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise LandscapeError(
            f"{what} failed: {type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})"
        ) from error
